// L3. Causal importances of prompts as a client asks for them: of some modules,
// the strongest of each position.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/importances.h"

namespace spar::search {

struct ImportanceQuestion {
  std::string decomposition = {};
  std::vector<std::vector<models::TokenId>> prompts = {};
  double threshold = 0;  // what is above it is told
  // Indices of DecompositionSpec::modules, in the order of the answer.
  std::vector<int> modules = {};
  // Of a module at one position, as Strongest has them. 0: all.
  int max_per_position = 0;
  int64_t max_entries = 0;  // of one prompt's answer
};

// What one prompt came to.
struct ImportanceAnswer {
  // As ImportanceQuestion::modules.
  std::vector<models::ModuleImportances> modules = {};
  int64_t num_entries = 0;  // of all of them
  int64_t num_cut = 0;      // left out by max_per_position
};

// At each position the `limit` most important entries, of equal ones the lower
// numbers; ascending as before.
models::ModuleImportances Strongest(const models::ModuleImportances& from,
                                    int64_t limit);

// One answer per prompt, in order. Errors: those of Backend::Importances;
// kCancelled; kResourceExhausted IMPORTANCES_TOO_LARGE where a prompt's answer
// has more than max_entries.
absl::StatusOr<std::vector<ImportanceAnswer>> Importances(
    models::Backend& backend,
    const ImportanceQuestion& question,
    std::stop_token stop);

}  // namespace spar::search
