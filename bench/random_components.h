// A decomposition of random weights, for benches.
#pragma once

#include <vector>

#include "models/torch/decomposed_decoder.h"

namespace spar::bench {

// Uniform numbers, the same every time: V of variance 1 / d_in, U of variance
// 1 / C.
std::vector<models::ComponentModule> RandomComponents(
    const std::vector<models::DecomposedModule>& modules);

}  // namespace spar::bench
