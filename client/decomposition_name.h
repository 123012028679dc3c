// L5. Which decomposition a command line names.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/session.h"

namespace spar::client {

// The resource name of the line's argument: MODEL/NAME, or NAME of the line's
// model, which the server is asked for.
absl::StatusOr<std::string> FindDecompositionName(Session& session);

}  // namespace spar::client
