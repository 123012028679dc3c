#include "models/studies/induction_head.h"

#include <array>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {
namespace {

constexpr int kLayers = 2;
constexpr double kPositionBase = 10'000;

struct Reader {
  const char* name;
  models::ModuleSite site;
};

constexpr std::array<Reader, 3> kReaders = {
    Reader{"q_proj", models::ModuleSite::kQ},
    Reader{"k_proj", models::ModuleSite::kK},
    Reader{"v_proj", models::ModuleSite::kV}};
constexpr int kNumReaders = static_cast<int>(kReaders.size());

std::vector<ToyModule> ModulesOf(const InductionHead::Weights& weights) {
  std::vector<ToyModule> modules;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const Reader& reader : kReaders) {
      modules.push_back(
          MakeToyModule(base::Cat("blocks.", layer, ".attn.", reader.name),
                        reader.site, layer, weights.readers[modules.size()]));
    }
  }
  return modules;
}

// sin and cos of position / base^(2j / width) at 2j and 2j + 1, [length,
// width].
at::Tensor SinusoidalPositions(int64_t length, int64_t width) {
  const at::Tensor rates =
      (at::arange(width / 2).to(at::kFloat) *
       (-2 * std::log(kPositionBase) / static_cast<double>(width)))
          .exp();
  const at::Tensor angles = at::outer(at::arange(length).to(at::kFloat), rates);
  return at::stack({angles.sin(), angles.cos()}, 2).flatten(1);
}

at::Tensor LastLogits(const InductionHead::Weights& weights,
                      const at::Tensor& ids,
                      const ToyTarget::Apply& apply) {
  const int64_t length = ids.size(1);
  const int64_t width = weights.embedding.size(1);
  const at::Tensor positions = SinusoidalPositions(length, width);
  at::Tensor stream = weights.embedding.index_select(0, ids.flatten());
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto read = [&](int which) {
      return apply(kNumReaders * layer + which, stream, {})
          .view({-1, length, width});
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(
        read(0) + positions, read(1) + positions, read(2),
        /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true);
    stream = stream + at::linear(mixed.flatten(0, 1), weights.outputs[layer]);
  }
  return at::linear(stream.view({-1, length, width}).select(1, length - 1),
                    weights.unembedding);
}

InductionHead::Weights FirstWeights(const InductionHeadOptions& options) {
  const models::DrawKey key(options.seed);
  const double scale = 1 / std::sqrt(double{1} * options.width);
  InductionHead::Weights weights;
  const std::vector<int64_t> table = {options.data.vocabulary(), options.width};
  const std::vector<int64_t> square = {options.width, options.width};
  weights.embedding = key.Of(0).Normal(table, at::kCPU);
  weights.unembedding = key.Of(1).Normal(table, at::kCPU) * scale;
  for (int i = 0; i < kLayers * kNumReaders; ++i) {
    weights.readers.push_back(key.Of(2).Of(i).Normal(square, at::kCPU) * scale);
  }
  for (int layer = 0; layer < kLayers; ++layer) {
    weights.outputs.push_back(key.Of(3).Of(layer).Normal(square, at::kCPU) *
                              scale);
  }
  return weights;
}

std::vector<at::Tensor*> AllOf(InductionHead::Weights& weights) {
  std::vector<at::Tensor*> all = {&weights.embedding, &weights.unembedding};
  for (at::Tensor& weight : weights.readers) all.push_back(&weight);
  for (at::Tensor& weight : weights.outputs) all.push_back(&weight);
  return all;
}

}  // namespace

InductionHead::InductionHead(Weights weights)
    : ToyTarget(ModulesOf(weights)), weights_(std::move(weights)) {}

models::Run InductionHead::SequencesOf(const at::Tensor& data) const {
  return {.count = static_cast<int>(data.size(0)),
          .length = static_cast<int>(data.size(1))};
}

at::Tensor InductionHead::Run(const at::Tensor& data,
                              const Apply& apply) const {
  return LastLogits(weights_, data, apply);
}

double InductionHead::Accuracy(const at::Tensor& data,
                               const at::Tensor& answers) const {
  return Output(data)
      .argmax(-1)
      .eq(answers)
      .to(at::kFloat)
      .mean()
      .item<double>();
}

std::unique_ptr<InductionHead> InductionHead::Train(
    const InductionHeadOptions& options) {
  Weights weights = FirstWeights(options);
  std::vector<at::Tensor> leaves;
  for (at::Tensor* weight : AllOf(weights)) {
    leaves.push_back(weight->requires_grad_(true));
  }
  RepeatedMarkerOptions data_options = options.data;
  data_options.seed = options.seed;
  const RepeatedMarker data(data_options);
  const Apply linear = [&](int module, const at::Tensor& x,
                           const at::Tensor& bias) {
    return at::linear(x, weights.readers[module], bias);
  };
  TrainToy(options.training, data, leaves, [&](const at::Tensor& ids) {
    const at::Tensor logs = LastLogits(weights, ids, linear).log_softmax(-1);
    return -logs.gather(1, data.Answers(ids).unsqueeze(1)).mean();
  });
  for (at::Tensor* weight : AllOf(weights)) *weight = weight->detach();
  return std::make_unique<InductionHead>(std::move(weights));
}

}  // namespace spar::studies
