// L1t. What each node of a stage keeps of the computed units, as multipliers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"
#include "models/torch/mask_tree.h"
#include "models/torch/sequences.h"

namespace spar::models {

class UnitMasks {
 public:
  // Masks of the units range.first + `computed` (ascending) for the nodes of
  // `stage`.
  UnitMasks(std::span<const Row* const> rows,
            const TreeStage& stage,
            const UnitRange& range,
            const std::vector<int32_t>& computed,
            const at::TensorOptions& options);

  // Whether every node keeps all that is computed.
  bool all_on() const { return partial_.empty(); }

  // Multiplies in place. values: [tokens of `runs`, computed * unit_size].
  void Apply(const std::vector<Run>& runs,
             int64_t unit_size,
             const at::Tensor& values) const;

 private:
  std::vector<int> partial_;  // nodes that lack some, ascending
  at::Tensor masks_;          // [partial_, computed]
};

// Ascending, counted from range.first: what any node of the stage keeps.
std::vector<int32_t> KeptByAny(std::span<const Row* const> rows,
                               const TreeStage& stage,
                               const UnitRange& range);

}  // namespace spar::models
