// L1t. Interventions on the masks of several rows over one prompt.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/ablation.h"
#include "models/torch/component_forward.h"

namespace spar::models {

// Collects what the interventions of each row do and applies it to masks that
// all rows have in common. Rows lie one after another, `length` tokens each;
// length 1 stands for all positions, and then every intervention is of every
// position.
class MaskEdits {
 public:
  MaskEdits(const Decoder& decoder, int num_rows, int length)
      : num_rows_(num_rows),
        length_(length),
        options_(at::TensorOptions(decoder.device).dtype(decoder.dtype)) {}

  void Add(int row, const Intervention& intervention);

  // The masks of every module and row: of [length or 1] tokens in, of
  // [rows * length] out where rows differ. Differentiable in the masks.
  std::vector<ComponentMasks> Apply(std::vector<ComponentMasks> masks) const;

  // [rows * length, count] of each layer that has any; undefined: all 1.
  std::vector<at::Tensor> Heads(const Decoder& decoder) const;
  std::vector<at::Tensor> Neurons(const Decoder& decoder) const;

 private:
  // m becomes factor * m + offset.
  struct Change {
    double factor = 1;
    double offset = 0;
  };
  // By token of the batch and index within the site.
  using Changes = std::map<std::pair<int64_t, int32_t>, Change>;
  using SiteChanges = std::map<int32_t, Changes>;  // by module or layer

  ComponentMasks ApplyTo(ComponentMasks masks, const Changes& changes) const;
  at::Tensor Repeat(const at::Tensor& values) const;
  std::vector<at::Tensor> Units(const Decoder& decoder,
                                const SiteChanges& sites,
                                int64_t count) const;
  static at::Tensor Changed(const at::Tensor& values,
                            const std::vector<int64_t>& cells,
                            const Changes& changes);

  const int num_rows_;
  const int length_;
  const at::TensorOptions options_;
  SiteChanges components_ = {}, deltas_ = {}, heads_ = {}, neurons_ = {};
};

// The first layer that an intervention changes; -1: the embedding.
int FirstLayer(const DecomposedDecoder& decomposed,
               const Intervention& intervention);

}  // namespace spar::models
