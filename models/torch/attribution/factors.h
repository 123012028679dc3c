// L1t. A decomposition's factors as attribution names them.
#pragma once

#include <span>
#include <vector>

#include "models/torch/attribution/trace.h"
#include "models/torch/decomposed_decoder.h"

namespace spar::models {

// One for each module, in order; the tensors are shared, not copied.
std::vector<ModuleFactors> FactorsOf(std::span<const ComponentModule> modules);

}  // namespace spar::models
