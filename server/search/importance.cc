// L3. The order that a decomposition itself suggests: causal importances.
#include <algorithm>
#include <utility>

#include "base/status.h"
#include "server/search/phases.h"

namespace spar::search {
namespace {

// Asked once for a question. A prompt that the causal importance function does
// not read has none.
Search<Nothing> AskImportances(Case* c) {
  if (c->asked_importances) co_return Nothing();
  c->asked_importances = true;
  schedule::ImportanceQuestion question;
  question.decomposition = c->decomposition->name;
  question.tokens = c->tokens();
  absl::StatusOr<models::PromptImportances> importances =
      co_await c->oracle->Importances(std::move(question));
  if (importances.ok()) {
    c->importances = *std::move(importances);
    co_return Nothing();
  }
  const std::optional<base::ErrorDetail> detail =
      base::DetailOf(importances.status());
  if (detail.has_value() && detail->reason == "PROMPT_TOO_LONG") {
    co_return Nothing();
  }
  co_return importances.status();
}

}  // namespace

Search<std::vector<double>> ImportanceOfUnits(Case* c,
                                              models::IndexSet positions) {
  if (c->decomposition == nullptr) co_return std::vector<double>();
  CO_RETURN_IF_ERROR((co_await AskImportances(c)).status());
  if (!c->importances.has_value()) co_return std::vector<double>();
  const models::UnitTable& table = c->units.table();
  const bool nodes = c->units.space() == models::UnitSpace::kNodes;
  std::vector<double> importance(table.size(), 0.0);
  for (int module = 0; module < table.num_modules(); ++module) {
    const models::ModuleImportances& of_module =
        c->importances->modules[module];
    models::Unit first;
    first.kind = models::UnitKind::kSubcomponent;
    first.module = module;
    for (const int32_t position : positions.Members()) {
      first.position = nodes ? position : -1;
      const models::UnitId begin = table.Id(first);
      for (int64_t i = of_module.begin[position];
           i < of_module.begin[position + 1]; ++i) {
        double& known = importance[begin + of_module.component[i]];
        known = std::max(known, double{of_module.importance[i]});
      }
    }
  }
  co_return importance;
}

}  // namespace spar::search
