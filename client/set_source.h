// L5. The set of --nodes-from or --units-from, and what it is of.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/saved_set.h"
#include "client/session.h"
#include "client/set_requests.h"

namespace spar::client {

// Of the file that the command line names. Errors as ReadFile and ReadSavedSet,
// with the file's name.
absl::StatusOr<SavedSet> ReadSetOf(const CommandLine& line);

// Asks the server what the set is of. The decomposition is `named`, else the
// one that the set tells by name, else by digest. The server's errors;
// kNotFound where nothing tells it.
absl::StatusOr<SetParts> FindParts(Client& client,
                                   const v1::Model& model,
                                   const SavedSet& set,
                                   const std::string& named);

// "NAME" of "models/MODEL/decompositions/NAME".
std::string ShortDecompositionName(const v1::Decomposition& decomposition);

}  // namespace spar::client
