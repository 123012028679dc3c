// Test support: a small random decoder as a target, its data, and configs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/snapshot/snapshot.h"
#include "models/torch/train/decoder_target.h"
#include "models/torch/train/trainer.h"

namespace spar::models {

// Random tokens, drawn from the step.
class RandomTokens final : public TrainData {
 public:
  RandomTokens(int vocab, int sequences, int length)
      : vocab_(vocab), sequences_(sequences), length_(length) {}
  at::Tensor Batch(int64_t step) const override;

 private:
  const int vocab_, sequences_, length_;
};

// Two layers; rotary half-split heads over grouped keys, so that outputs have
// another order in the checkpoint, RMS norms, biases.
class TrainFixture {
 public:
  // With the embedding as a module too, or without it.
  explicit TrainFixture(bool embedding = false);

  const Snapshot& snapshot() const { return *snapshot_; }
  const DecoderTarget& target() const { return *target_; }
  const RandomTokens& data() const { return data_; }
  // The CI function and C of each module, seven and more.
  DecompositionSpec Spec(CiSpec ci) const;
  Trainer Make(const TrainConfig& config, const DecompositionSpec& spec) const {
    return Trainer(*target_, data_, config, spec);
  }

 private:
  std::shared_ptr<const Snapshot> snapshot_;
  Decoder decoder_ = {};
  std::unique_ptr<DecoderTarget> target_;
  RandomTokens data_{17, 4, 6};
  const bool embedding_;
};

// Of four sequences of six tokens, 10 steps, without losses.
TrainConfig SmallConfig();
CiSpec SmallCi(CiKind kind);

// Losses as the reference library names them.
LossConfig Faithfulness(double coefficient);
LossConfig Minimality(double coefficient);
LossConfig Recon(LossKind kind, RoutingKind routing, double coefficient);

}  // namespace spar::models
