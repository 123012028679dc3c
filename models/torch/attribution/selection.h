// L1t. Which nodes a question's graph has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <ATen/core/Tensor.h>

#include "models/attribution.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// Scalar nodes of one site, ascending by position, then index.
struct ChosenNodes {
  SitePart part = SitePart::kQ;
  int layer = 0;
  std::vector<int32_t> position = {};
  std::vector<int32_t> index = {};
};

// Everything of a question that can be wrong without running it.
// kInvalidArgument with the field: UNKNOWN_NODE, DUPLICATE_NODE,
// POSITION_OUT_OF_RANGE, TOKEN_OUT_OF_RANGE, BAD_ATTRIBUTION_OPTION. The tokens
// have been checked.
absl::Status CheckAttribution(const AttributionRequest& request,
                              const DecoderSpec& spec,
                              std::span<const ModuleFactors> factors);

// The subcomponents that a question names, or that its rule takes from their
// importances, [T, C] for each of the factors.
std::vector<ChosenNodes> ChooseSubcomponents(
    const AttributionRequest& request,
    std::span<const ModuleFactors> factors,
    std::span<const at::Tensor> importances);

// The heads and neurons of a run without factors.
std::vector<ChosenNodes> ChooseUnits(const AttributionRequest& request,
                                     const Trace& trace);

// The logits, with what a graph says about them.
struct ChosenLogits {
  ChosenNodes nodes = {};
  std::vector<float> logits = {};
  std::vector<float> probabilities = {};
};
ChosenLogits ChooseLogits(const AttributionRequest& request,
                          const Trace& trace);

}  // namespace spar::models
