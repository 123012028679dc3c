#include "models/studies/study_recipe.h"

#include <utility>

#include "models/decomposition/decomposable_modules.h"
#include "models/torch/aten.h"

namespace spar::studies {

models::LossConfig Loss(std::string name,
                        models::LossKind kind,
                        double coefficient) {
  return {.name = std::move(name), .kind = kind, .coefficient = coefficient};
}

std::vector<models::DecomposedModule> ModulesWith(
    int num_components, const models::TrainTarget& target) {
  std::vector<models::DecomposedModule> modules = target.modules();
  for (models::DecomposedModule& module : modules) {
    module.num_components = num_components;
  }
  models::NumberComponents(modules);
  return modules;
}

ImportanceTable TableOf(const at::Tensor& importances) {
  const at::Tensor table = importances.contiguous();
  const float* g = table.const_data_ptr<float>();
  ImportanceTable rows;
  for (int64_t i = 0; i < table.size(0); ++i, g += table.size(1)) {
    rows.emplace_back(g, g + table.size(1));
  }
  return rows;
}

}  // namespace spar::studies
