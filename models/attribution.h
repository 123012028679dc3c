// L1. Attribution graphs as plain values: what is asked, and what streams back.
//
// A graph says how much each node of one run of a model moved each later node
// directly, with every other node held still (VPD, section 5.1):
//   value(source -> target) = (d target / d source)* x activation(source)
//                             [x importance(source)]
// where * stops the gradient at every node but the two. Activations and values
// are in the units of the target's activation; a logit's are natural.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "models/row.h"

namespace spar::models {

enum class NodeKind {
  kSubcomponent,  // index: subcomponent; activation: V_c . input of its matrix
  kEmbedding,     // the residual stream before layer 0, a vector; index 0
  kDelta,         // what a matrix does beyond its subcomponents, a vector:
                  // Delta x input; the whole W x input where a matrix has none
  kBias,          // a linear bias, a vector; index 0
  kLogit,         // index: token; position: where it is read
  kNeuron,        // index: neuron; activation: its post-activation, gated
  kHead,          // index: query head; as a source its output, a vector; as a
                  // target the length of that output, moved through the values
                  // with the attention pattern held still
};

// Which part of a layer a node belongs to. Vector nodes belong to the matrix
// that writes them, the embedding and the logits to no layer.
enum class SitePart {
  kEmbedding,
  kQ,
  kK,
  kV,
  kQkv,  // a fused q, k, v matrix
  kO,
  kGate,
  kUp,
  kDown,
  kHeads,    // without a decomposition
  kNeurons,  // without a decomposition
  kLogits,
};

struct AttributionSite {
  SitePart part = SitePart::kEmbedding;
  int layer = -1;         // -1: the embedding and the logits
  std::string name = {};  // the checkpoint's module: "transformer.h.3.attn"
};

// Nodes are numbered from 0 in order of site, then position, then kind, then
// index; a number is good for one graph.
struct AttributionNode {
  NodeKind kind = NodeKind::kSubcomponent;
  int32_t site = 0;  // in AttributionNodes::sites
  int32_t position = 0;
  int32_t index = 0;
  float activation = 1;  // of vectors: 1
  // Of a subcomponent its causal importance, of a logit its probability in the
  // run that is attributed, else 1.
  float importance = 1;
};

struct AttributionNodes {
  std::vector<AttributionSite> sites = {};  // in the order of computation
  std::vector<AttributionNode> nodes = {};
};

struct AttributionEdge {
  int32_t target = 0;  // node numbers
  int32_t source = 0;
  float value = 0;
};

// Edges between two sites. Ordered by target, then source. Only pairs that are
// connected have blocks; large pairs come as several blocks, of rising targets.
struct EdgeBlock {
  int32_t target_site = 0;
  int32_t source_site = 0;
  std::vector<AttributionEdge> edges = {};
};

// A node that the caller names.
struct NodeRef {
  SitePart part = SitePart::kQ;
  int layer = 0;
  int32_t position = 0;
  int32_t index = 0;  // subcomponent, neuron or head

  friend bool operator==(const NodeRef&, const NodeRef&) = default;
};

// Which nodes a graph has where the caller names none. All heads, and:
struct NodeRule {
  // Subcomponents of importance above this, strictly.
  double min_importance = 0;
  // The most of them per site and position, the most important; 0: no limit.
  int max_subcomponents = 0;
  // Neurons per layer and position, those of the largest |activation|.
  int max_neurons = 64;
};

struct LogitRef {
  int32_t position = 0;  // where it is read
  TokenId token = 0;

  friend bool operator==(const LogitRef&, const LogitRef&) = default;
};

// Which logits a graph has where the caller names none: the most probable
// tokens of the run that is attributed.
struct LogitRule {
  std::vector<int32_t> positions = {};  // ascending; empty: the last
  double min_probability = 0.01;        // strictly above
  int max_per_position = 10;
};

// Which norms the derivative sees.
enum class NormGradient {
  kFull,    // the norm's whole Jacobian, as VPD's
  kFrozen,  // its denominator held still: contributions add up to activations
};

// Which run of the model is taken apart.
enum class AttributedRun {
  kTarget,      // the model itself: all masks 1, Delta on
  kImportance,  // each subcomponent times its causal importance
  kListed,      // the graph's subcomponents 1, all others 0
};

// What is kept of the edges of one graph. Both limits hold.
struct EdgeFilter {
  double min_magnitude = 0;    // |value| at least this
  int max_per_target = 0;      // largest |value| among all sources; 0: no limit
  bool without_zeros = false;  // values that are exactly 0
};

struct AttributionRequest {
  std::vector<TokenId> tokens = {};  // at least one
  std::string decomposition = {};    // its name; empty: neurons and heads
  std::vector<NodeRef> nodes = {};   // empty: by `rule`
  NodeRule rule = {};
  std::vector<LogitRef> logits = {};  // empty: by `logit_rule`
  LogitRule logit_rule = {};
  NormGradient norm = NormGradient::kFull;
  bool importance_factor =
      false;  // the source's, as in the paper's section 5.1
  AttributedRun run = AttributedRun::kTarget;
  double delta_mask = 1;  // of the masked runs, in [0, 1]
  EdgeFilter filter = {};
};

// How well a graph keeps an equation that holds for exact arithmetic: over all
// targets, the sum of everything that flows in against its prediction. Sums are
// over all subcomponents, listed or not, before any filter or importance.
struct IdentityResidual {
  double worst = 0;     // largest |sum - prediction|
  double relative = 0;  // over the largest contribution to its site, or target
  int64_t targets = 0;  // how many were checked; 0: the graph has none
};

struct AttributionSummary {
  int64_t edges = 0;             // that reached the sink
  int64_t edges_below = 0;       // dropped by min_magnitude or as zeros
  int64_t edges_cut = 0;         // dropped by max_per_target
  double magnitude = 0;          // sum of |value| over the edges of the sink
  double dropped_magnitude = 0;  // and over the dropped ones
  // Readers of the residual stream: with a full norm contributions add up to
  // activation * epsilon / sigma^2, for a reader without its norm's bias; with
  // a frozen one to the activation without the norm's bias. For a head: along
  // its output, through its values, at all positions that it attends to.
  IdentityResidual stream = {};
  // Readers of mixed values (o): what flows in through the values adds up to
  // the activation.
  IdentityResidual values = {};
};

// Takes a graph as it is computed: one call of OnNodes, then any number of
// OnEdges. Target sites come in the order of computation, those that read one
// norm (q, k and v; gate and up) together. Called on the thread that
// attributes. An error stops the work and is handed to its caller.
//
// Memory: a block has at most kMaxBlockEdges edges (12 bytes each). The work
// holds the run (for each layer and position about 12 widths and 8 MLP widths,
// and 3 numbers per head and key), a row of `width` per node that writes the
// stream, the rows of one layer's other nodes, and 512 MiB.
class AttributionSink {
 public:
  static constexpr int64_t kMaxBlockEdges = int64_t{1} << 20;

  virtual ~AttributionSink() = default;

  virtual absl::Status OnNodes(AttributionNodes nodes) = 0;
  virtual absl::Status OnEdges(EdgeBlock block) = 0;
};

}  // namespace spar::models
