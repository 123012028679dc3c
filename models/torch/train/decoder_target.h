// L1t. A decoder as a target of training.
#pragma once

#include <memory>
#include <vector>

#include "models/torch/decomposed_decoder.h"
#include "models/torch/train/target.h"

namespace spar::models {

// Batches are token ids, [sequences, length], long; the output is the logits of
// every position.
class DecoderTarget final : public TrainTarget {
 public:
  // `decoder` outlives this and is float32. `modules`: of its weights, in
  // Spar's order.
  DecoderTarget(const Decoder& decoder, std::vector<DecomposedModule> modules);

  const std::vector<DecomposedModule>& modules() const override {
    return modules_;
  }
  at::Tensor Weight(int module) const override;
  at::Tensor StoredOutputs(int module, const at::Tensor& u) const override;
  at::Device device() const override { return decoder_.device; }
  std::unique_ptr<TargetBatch> Start(const at::Tensor& data) const override;

 private:
  const Decoder& decoder_;
  const std::vector<DecomposedModule> modules_;
  // Where its modules are; its factors are empty.
  const DecomposedDecoder places_;
};

}  // namespace spar::models
