// L1t. Turns LibTorch's exceptions into Status; the only file that catches
// them.
#pragma once

#include <functional>
#include <string_view>

#include "absl/status/status.h"

namespace spar::models {

// Runs `body`. kResourceExhausted when device or host memory runs out,
// kInternal for every other exception; `what` names the work in the message.
absl::Status CatchTorch(std::string_view what,
                        const std::function<absl::Status()>& body);

}  // namespace spar::models
