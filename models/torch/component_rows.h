// L1t. Rows whose units are a decomposition's: subcomponents, with one mask for
// all positions, or nodes, with one for each.
//
// Rows lie side by side in batches. Those that keep the same units in the first
// layers are one computation there (models/torch/mask_tree.h), and of every
// layer's factors only what any of its rows keeps (or lacks, where that is
// less) is multiplied. Each is exact.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/backend.h"
#include "models/decomposition_spec.h"
#include "models/torch/batch_plan.h"
#include "models/torch/component_listing.h"
#include "models/torch/component_means.h"
#include "models/torch/decomposed_decoder.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

// Not thread-safe. Rows have passed CheckRows and are of this decomposition.
// What runs throws c10::Error: call outside any InferenceMode.
class ComponentRows {
 public:
  // All outlive this; `spec` is of `decoder`'s modules.
  ComponentRows(DecomposedDecoder& decoder,
                const DecompositionSpec& spec,
                const std::vector<std::vector<TokenId>>& reference_prompts);

  // No batch of several rows is over `max_bytes`.
  std::vector<PlannedBatch> Plan(std::span<const Row> rows,
                                 const ReuseOptions& reuse,
                                 int64_t max_bytes) const;
  // Fills in the results of the batch's rows.
  void Run(std::span<const Row> rows,
           const PlannedBatch& batch,
           const ReuseOptions& reuse,
           std::vector<RowResult>& results);

  // The same for gradients, in every unit.
  std::vector<PlannedBatch> PlanGradients(std::span<const GradientRow> rows,
                                          int64_t max_bytes) const;
  void RunGradients(std::span<const GradientRow> rows,
                    const PlannedBatch& batch,
                    std::vector<RowGradient>& results);

 private:
  // Null for zero. Made when first asked for.
  const ComponentMeans* Means(ReferenceKind kind);

  DecomposedDecoder& decoder_;
  const ComponentLayout layout_;
  const std::vector<std::vector<TokenId>>& reference_prompts_;
  std::unique_ptr<ComponentMeans> means_ = nullptr;
};

}  // namespace spar::models
