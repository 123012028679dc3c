#include "models/splitting_backend.h"

#include <iterator>
#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

// `run` on all rows, or where they do not fit on each half, in order.
template <typename Result, typename Row, typename Run>
absl::StatusOr<std::vector<Result>> RunInHalves(std::span<const Row> rows,
                                                const Run& run) {
  absl::StatusOr<std::vector<Result>> whole = run(rows);
  if (rows.size() < 2 ||
      whole.status().code() != absl::StatusCode::kResourceExhausted) {
    return whole;
  }
  const size_t half = rows.size() / 2;
  ASSIGN_OR_RETURN(std::vector<Result> results,
                   (RunInHalves<Result>(rows.first(half), run)));
  ASSIGN_OR_RETURN(std::vector<Result> rest,
                   (RunInHalves<Result>(rows.subspan(half), run)));
  results.insert(results.end(), std::make_move_iterator(rest.begin()),
                 std::make_move_iterator(rest.end()));
  return results;
}

}  // namespace

SplittingBackend::SplittingBackend(std::unique_ptr<Backend> inner)
    : inner_(std::move(inner)) {}

absl::StatusOr<std::vector<RowResult>> SplittingBackend::Evaluate(
    std::span<const Row> rows) {
  return RunInHalves<RowResult>(rows, [this](std::span<const Row> some) {
    return inner_->Evaluate(some);
  });
}

absl::StatusOr<std::vector<RowGradient>> SplittingBackend::Gradients(
    std::span<const GradientRow> rows) {
  return RunInHalves<RowGradient>(rows,
                                  [this](std::span<const GradientRow> some) {
                                    return inner_->Gradients(some);
                                  });
}

absl::StatusOr<std::vector<PromptImportances>> SplittingBackend::Importances(
    std::string_view decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options) {
  return RunInHalves<PromptImportances>(
      prompts, [&](std::span<const std::vector<TokenId>> some) {
        return inner_->Importances(decomposition, some, options);
      });
}

}  // namespace spar::models
