#include "models/studies/tms.h"

#include <cmath>

#include "models/studies/sparse_features.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {

Tms::Tms(const at::Tensor& weight, const at::Tensor& bias)
    : ToyTarget({MakeToyModule("linear1", models::ModuleSite::kUp, 0, weight),
                 MakeToyModule("linear2",
                               models::ModuleSite::kDown,
                               0,
                               weight.t().contiguous())}),
      bias_(bias) {}

at::Tensor Tms::Run(const at::Tensor& data, const Apply& apply) const {
  const at::Tensor hidden = apply(0, data, {});
  return apply(1, hidden, bias_).relu();
}

Tms Tms::Train(const TmsOptions& options) {
  const models::DrawKey key(options.seed);
  // As PyTorch begins a linear map's weight: uniform within 1 / sqrt(d_in).
  const double bound = 1 / std::sqrt(double{1} * options.num_features);
  const at::Tensor weight =
      ((2 * key.Of(0).Uniform({options.hidden, options.num_features},
                              at::kCPU) -
        1) *
       bound)
          .requires_grad_(true);
  const at::Tensor bias = at::zeros({options.num_features}, at::kFloat);
  bias.requires_grad_(true);
  const SparseFeatures data({.num_features = options.num_features,
                             .probability = options.probability,
                             .batch_size = options.batch_size,
                             .seed = options.seed});
  TrainToy(options.training, data, {weight, bias}, [&](const at::Tensor& x) {
    const at::Tensor out =
        at::linear(at::linear(x, weight), weight.t(), bias).relu();
    return (out - x).square().mean();
  });
  return Tms(weight.detach(), bias.detach());
}

}  // namespace spar::studies
