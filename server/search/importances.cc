#include "server/search/importances.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

using models::ModuleImportances;

absl::Status TooLarge(int64_t count, int64_t limit) {
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      base::Cat("a prompt has ", count, " importances to tell, at most ", limit,
                " can be: raise threshold, or set max_subcomponent_count"),
      {.reason = "IMPORTANCES_TOO_LARGE",
       .field = "threshold",
       .metadata = {{"count", base::Cat(count)}, {"limit", base::Cat(limit)}}});
}

}  // namespace

ModuleImportances Strongest(const ModuleImportances& from, int64_t limit) {
  ModuleImportances kept;
  std::vector<int64_t> order;
  for (size_t t = 0; t + 1 < from.begin.size(); ++t) {
    order.resize(static_cast<size_t>(from.begin[t + 1] - from.begin[t]));
    std::iota(order.begin(), order.end(), from.begin[t]);
    if (std::ssize(order) > limit) {
      std::nth_element(order.begin(), order.begin() + limit, order.end(),
                       [&from](int64_t a, int64_t b) {
                         if (from.importance[a] != from.importance[b]) {
                           return from.importance[a] > from.importance[b];
                         }
                         return a < b;
                       });
      order.resize(static_cast<size_t>(limit));
      std::sort(order.begin(), order.end());
    }
    for (const int64_t entry : order) {
      kept.component.push_back(from.component[entry]);
      kept.importance.push_back(from.importance[entry]);
      kept.activation.push_back(from.activation[entry]);
    }
    kept.begin.push_back(std::ssize(kept.component));
  }
  return kept;
}

absl::StatusOr<std::vector<ImportanceAnswer>> Importances(
    models::Backend& backend,
    const ImportanceQuestion& question,
    std::stop_token stop) {
  if (stop.stop_requested()) {
    return absl::CancelledError("the call was cancelled");
  }
  ASSIGN_OR_RETURN(std::vector<models::PromptImportances> prompts,
                   backend.Importances(question.decomposition, question.prompts,
                                       {.threshold = question.threshold}));
  std::vector<ImportanceAnswer> answers;
  for (models::PromptImportances& prompt : prompts) {
    ImportanceAnswer& answer = answers.emplace_back();
    for (const int m : question.modules) {
      ModuleImportances module =
          std::move(prompt.modules[static_cast<size_t>(m)]);
      if (question.max_per_position > 0) {
        const int64_t all = std::ssize(module.component);
        module = Strongest(module, question.max_per_position);
        answer.num_cut += all - std::ssize(module.component);
      }
      answer.num_entries += std::ssize(module.component);
      answer.modules.push_back(std::move(module));
    }
    if (answer.num_entries > question.max_entries) {
      return TooLarge(answer.num_entries, question.max_entries);
    }
    prompt = {};
  }
  return answers;
}

}  // namespace spar::search
