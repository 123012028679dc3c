#include "tests/train/train_fixture.h"

#include <map>
#include <utility>

#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::models {
namespace {

DecoderSpec FixtureShape() {
  DecoderSpec shape;
  shape.family = "llama";
  shape.vocab_size = 17;
  shape.context_length = 16;
  shape.width = 16;
  shape.num_layers = 2;
  shape.num_heads = 4;
  shape.num_kv_heads = 2;
  shape.head_dim = 4;
  shape.mlp_width = 24;
  shape.norm = NormKind::kRmsNorm;
  shape.positions = PositionKind::kRotary;
  shape.rotary = {.dim = 4, .theta = 100};
  return shape;
}

}  // namespace

at::Tensor RandomTokens::Batch(int64_t step) const {
  return (DrawKey(99).Of(step).Uniform({sequences_, length_}, at::kCPU) *
          vocab_)
      .floor()
      .to(at::kLong);
}

TrainFixture::TrainFixture(bool embedding)
    : snapshot_(MakeRandomSnapshot(FixtureShape(), /*biases=*/true, 5)),
      decoder_(LoadDecoder(*snapshot_, at::kCPU, at::kFloat)),
      embedding_(embedding) {
  target_ = std::make_unique<DecoderTarget>(decoder_, Spec(CiSpec{}).modules);
}

DecompositionSpec TrainFixture::Spec(CiSpec ci) const {
  std::map<ModuleSite, int> components = {
      {ModuleSite::kQ, 5}, {ModuleSite::kK, 4},  {ModuleSite::kV, 6},
      {ModuleSite::kO, 7}, {ModuleSite::kUp, 9}, {ModuleSite::kDown, 8}};
  if (embedding_) components[ModuleSite::kEmbedding] = 6;
  return RandomDecompositionSpec(*snapshot_, components, std::move(ci));
}

TrainConfig SmallConfig() {
  TrainConfig config;
  config.data.sequence_length = 6;
  config.batch_size = 4;
  config.steps = 10;
  config.seed = 3;
  config.rate = {.rate = 0.01};
  config.digest = "digest";
  return config;
}

CiSpec SmallCi(CiKind kind) {
  CiSpec ci;
  ci.kind = kind;
  ci.hidden = {6};
  if (kind == CiKind::kGlobalSharedTransformer ||
      kind == CiKind::kGlobalReverseResidual) {
    ci.width = 8;
    ci.attention = {.num_heads = 2, .max_positions = 16};
  }
  if (kind == CiKind::kGlobalSharedTransformer) ci.num_blocks = 2;
  if (kind == CiKind::kGlobalReverseResidual) ci.transition_hidden = 5;
  if (kind == CiKind::kSequenceMlp) {
    ci.relative_attention = {.key_width = 3,
                             .value_width = 4,
                             .max_distance = 3,
                             .relative = RelativePositions::kBias};
  }
  return ci;
}

LossConfig Faithfulness(double coefficient) {
  return {.name = "FaithfulnessLoss",
          .kind = LossKind::kFaithfulness,
          .coefficient = coefficient};
}

LossConfig Minimality(double coefficient) {
  return {.name = "ImportanceMinimalityLoss",
          .kind = LossKind::kImportanceMinimality,
          .coefficient = coefficient,
          .power = {.from = 2, .to = 0.5},
          .beta = 0.5};
}

LossConfig Recon(LossKind kind, RoutingKind routing, double coefficient) {
  LossConfig loss{.name = "Recon", .kind = kind, .coefficient = coefficient};
  loss.routing = {.kind = routing, .probability = 0.6};
  return loss;
}

}  // namespace spar::models
