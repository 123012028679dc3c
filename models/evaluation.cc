#include "models/evaluation.h"

#include <algorithm>

namespace spar::models {
namespace {

constexpr size_t kBatchTokens = 2048;

}  // namespace

std::vector<std::pair<size_t, size_t>> EvaluationBatches(
    const EvaluationRequest& request) {
  size_t longest = 1;
  for (const std::vector<TokenId>& row : request.rows) {
    longest = std::max(longest, row.size());
  }
  const size_t size = request.batch_rows > 0
                          ? static_cast<size_t>(request.batch_rows)
                          : std::max<size_t>(1, kBatchTokens / longest);
  std::vector<std::pair<size_t, size_t>> batches;
  for (size_t first = 0; first < request.rows.size(); first += size) {
    batches.emplace_back(first, std::min(first + size, request.rows.size()));
  }
  return batches;
}

Faithfulness FaithfulnessOf(const DecompositionInfo& info) {
  Faithfulness found;
  double delta = 0, weight = 0, entries = 0;
  for (size_t m = 0; m < info.modules.size(); ++m) {
    const DecomposedModule& module = info.spec.modules[m];
    const ModuleMeasures& measures = info.modules[m];
    const double count = double{1} * module.d_in * module.d_out;
    const double delta_square = measures.delta_norm * measures.delta_norm;
    const double weight_square = measures.weight_norm * measures.weight_norm;
    found.modules.push_back(
        {.delta = delta_square / count, .weight = weight_square / count});
    delta += delta_square;
    weight += weight_square;
    entries += count;
  }
  if (entries > 0) {
    found.all = {.delta = delta / entries, .weight = weight / entries};
  }
  return found;
}

}  // namespace spar::models
