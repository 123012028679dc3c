#include "models/studies/resid_mlp.h"

#include <cmath>

#include "base/status.h"
#include "models/studies/sparse_features.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {
namespace {

std::vector<ToyModule> ModulesOf(const std::vector<at::Tensor>& weights) {
  std::vector<ToyModule> modules;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int layer = static_cast<int>(i / 2);
    const bool in = i % 2 == 0;
    modules.push_back(
        MakeToyModule(base::Cat("layers.", layer, in ? ".mlp_in" : ".mlp_out"),
                      in ? models::ModuleSite::kUp : models::ModuleSite::kDown,
                      layer, weights[i]));
  }
  return modules;
}

at::Tensor RunStream(const at::Tensor& data,
                     const at::Tensor& embedding,
                     size_t num_modules,
                     const ToyTarget::Apply& apply) {
  at::Tensor stream = at::mm(data, embedding);
  for (size_t m = 0; m < num_modules; m += 2) {
    const int in = static_cast<int>(m);
    const at::Tensor hidden = apply(in, stream, {}).relu();
    stream = stream + apply(in + 1, hidden, {});
  }
  return at::mm(stream, embedding.t());
}

}  // namespace

ResidMlp::ResidMlp(const at::Tensor& embedding,
                   const std::vector<at::Tensor>& weights)
    : ToyTarget(ModulesOf(weights)), embedding_(embedding) {}

at::Tensor ResidMlp::Run(const at::Tensor& data, const Apply& apply) const {
  return RunStream(data, embedding_, modules().size(), apply);
}

ResidMlp ResidMlp::Train(const ResidMlpOptions& options) {
  const models::DrawKey key(options.seed);
  at::Tensor embedding =
      key.Of(0).Normal({options.num_features, options.width}, at::kCPU);
  embedding = embedding / embedding.norm(2, {1}, /*keepdim=*/true);
  std::vector<at::Tensor> weights;
  for (int layer = 0; layer < options.num_layers; ++layer) {
    const models::DrawKey draws = key.Of(1).Of(layer);
    weights.push_back(
        draws.Of(0).Normal({options.neurons, options.width}, at::kCPU) /
        std::sqrt(static_cast<double>(options.width)));
    weights.push_back(
        draws.Of(1).Normal({options.width, options.neurons}, at::kCPU) /
        std::sqrt(static_cast<double>(options.neurons)));
  }
  for (const at::Tensor& weight : weights) weight.requires_grad_(true);
  const SparseFeatures data({.num_features = options.num_features,
                             .probability = options.probability,
                             .low = -1,
                             .batch_size = options.batch_size,
                             .seed = options.seed});
  const ToyTarget::Apply linear = [&](int module, const at::Tensor& x,
                                      const at::Tensor& bias) {
    return at::linear(x, weights[module], bias);
  };
  TrainToy(options.training, data, weights, [&](const at::Tensor& x) {
    const at::Tensor out = RunStream(x, embedding, weights.size(), linear);
    return (out - x - x.relu()).square().mean();
  });
  for (at::Tensor& weight : weights) weight = weight.detach();
  return ResidMlp(embedding, weights);
}

}  // namespace spar::studies
