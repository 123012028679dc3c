#include "models/studies/study_recipe.h"

#include <utility>

#include "models/decomposition/decomposable_modules.h"

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

}  // namespace spar::studies
