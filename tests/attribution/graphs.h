// Test support: small models of every kind of arithmetic with random
// decompositions, and their graphs by both ways.
#pragma once

#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/graph_edges.h"
#include "tests/attribution/edited_snapshot.h"
#include "tests/attribution/plain_run.h"

namespace spar::models {

struct Variant {
  std::string name = {};
  DecoderSpec shape = {};
  bool biases = false;
  QkvLayout layout = QkvLayout::kSeparate;
  bool decomposed_embedding = false;
  bool only_some_matrices = false;  // k, o and every second down are whole
};
inline void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

// Every architecture that the server knows, and what decompositions add.
std::vector<Variant> Variants();

std::shared_ptr<const Snapshot> SnapshotOf(const Variant& variant);

// Random factors of every matrix that the variant decomposes, 4 each.
std::vector<PlainFactors> RandomFactors(const Variant& variant,
                                        const DecoderSpec& spec,
                                        uint64_t seed);
std::vector<PlainMasks> RandomMasks(const std::vector<PlainFactors>& factors,
                                    int tokens,
                                    uint64_t seed);

std::vector<TokenId> SomeTokens(const DecoderSpec& spec, int count);

// Random scalar nodes at every site (about two thirds of them) and some logits.
NodeTable ChooseNodes(const Trace& trace, uint64_t seed);

// edges[target][source], float64; and whether the pair was listed at all.
struct DenseGraph {
  at::Tensor values = {};
  at::Tensor listed = {};
  std::vector<int32_t> target_order = {};
  IdentityResidual stream = {};
  IdentityResidual value_paths = {};
};

// A closed-form run of the same model in `dtype`.
struct ClosedForm {
  Decoder decoder = {};
  std::vector<ModuleFactors> factors = {};
  std::vector<ModuleMasks> masks = {};
  Trace trace = {};
};
std::unique_ptr<ClosedForm> RunClosedForm(
    const Snapshot& snapshot,
    std::span<const TokenId> tokens,
    const std::vector<PlainFactors>& factors,
    const std::vector<PlainMasks>& masks,
    at::ScalarType dtype);

DenseGraph ClosedFormGraph(const Trace& trace,
                           const NodeTable& nodes,
                           NormGradient norm);
// By one backward pass per target.
at::Tensor PlainGraph(const PlainRun& run, const NodeTable& nodes);

// The largest |a - b| over the largest |b|, of the worst pair of sites.
struct Comparison {
  double worst = 0;
  std::string where = {};
};
// A block's scale is the largest |b| of it, and of the same block of `parts`,
// where defined: of what cancels in it.
Comparison Compare(const at::Tensor& a,
                   const at::Tensor& b,
                   const NodeTable& nodes,
                   const at::Tensor& parts);

}  // namespace spar::models
