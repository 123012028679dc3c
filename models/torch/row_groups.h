// L1t. Rows of one call by the units that they are over. Torch-free.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "base/status.h"
#include "models/row.h"

namespace spar::models {

// The decomposition whose units a prompt's rows are over; null: none's, heads
// and neurons.
inline const std::string* DecompositionOf(const Prompt& prompt) {
  return prompt.space == UnitSpace::kHeadsAndNeurons ? nullptr
                                                     : &prompt.decomposition;
}

// run(decomposition, rows) -> StatusOr<vector<Result>> for the rows of each
// decomposition, and of none; all results in the order of `rows`.
template <typename Result, typename RowKind, typename Run>
absl::StatusOr<std::vector<Result>> ByDecomposition(
    std::span<const RowKind> rows, const Run& run) {
  std::map<std::pair<bool, std::string>, std::vector<size_t>> groups;
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string* const name = DecompositionOf(*rows[i].prompt);
    groups[{name != nullptr, name != nullptr ? *name : ""}].push_back(i);
  }
  if (groups.size() == 1) {  // as it nearly always is: no copies
    return run(DecompositionOf(*rows[0].prompt), rows);
  }
  std::vector<Result> results(rows.size());
  for (const auto& [key, members] : groups) {
    std::vector<RowKind> some;
    for (const size_t i : members) some.push_back(rows[i]);
    ASSIGN_OR_RETURN(
        std::vector<Result> own,
        run(key.first ? &key.second : nullptr, std::span<const RowKind>(some)));
    for (size_t i = 0; i < members.size(); ++i) {
      results[members[i]] = std::move(own[i]);
    }
  }
  return results;
}

}  // namespace spar::models
