#include "bench/random_components.h"

#include <cmath>

#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::bench {
namespace {

// Uniform numbers of variance 1 / terms.
at::Tensor RandomFactor(uint64_t stream,
                        int64_t rows,
                        int64_t columns,
                        double terms) {
  return (models::UniformNumbers(1, stream, {rows, columns}) * 2 - 1) *
         std::sqrt(3 / terms);
}

}  // namespace

std::vector<models::ComponentModule> RandomComponents(
    const std::vector<models::DecomposedModule>& modules) {
  std::vector<models::ComponentModule> components;
  uint64_t stream = 0;
  for (const models::DecomposedModule& module : modules) {
    const int64_t count = module.num_components;
    components.push_back(
        {.module = module,
         .v = RandomFactor(stream, count, module.d_in, module.d_in),
         .u = RandomFactor(stream + 1, count, module.d_out,
                           static_cast<double>(count))});
    stream += 2;
  }
  return components;
}

}  // namespace spar::bench
