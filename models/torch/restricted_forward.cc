#include "models/torch/restricted_forward.h"

#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/blocks.h"
#include "models/torch/mask_tree.h"
#include "models/torch/unit_masks.h"

namespace spar::models {
namespace {

// Note [Exact reuse]
// 1. All rows' tokens lie in one dimension: one product per weight.
// 2. Rows form a MaskTree: a stream is computed once for the rows that cannot
//    differ yet. A stage computes its units' own values for the parents, then
//    gives each child a masked copy.
// 3. Deleted positions are not computed (Sequence).
// 4. Units that no node of a stage keeps are not computed (Compaction). With a
//    mean reference r, sum over units of (m own + (1 - m) r) W is
//    (m (own - r)) W over the kept units plus r W over all, a constant per
//    position id (ReferenceFold).
// 5. In the last layer only the last position is computed, past its keys and
//    values.
// Each is the same sum in another order.

// One step of a layer: its heads, its neurons, or with a parallel residual
// both, since both read the same stream.
struct Step {
  int layer = 0;
  bool heads = false;
  bool neurons = false;
  UnitRange units = {};
};

std::vector<Step> StepsOf(const DecoderSpec& spec) {
  std::vector<Step> steps;
  const int per_layer = spec.num_heads + spec.mlp_width;
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    const int first = layer * per_layer;
    if (spec.parallel_residual) {
      steps.push_back({.layer = layer,
                       .heads = true,
                       .neurons = true,
                       .units = {first, per_layer}});
      continue;
    }
    steps.push_back(
        {.layer = layer, .heads = true, .units = {first, spec.num_heads}});
    steps.push_back({.layer = layer,
                     .neurons = true,
                     .units = {first + spec.num_heads, spec.mlp_width}});
  }
  return steps;
}

// The distinct streams at one depth of the tree.
struct Streams {
  Nodes nodes = {};
  at::Tensor x = {};               // [tokens, width]
  at::Tensor reference_rows = {};  // [tokens]; undefined without a reference
};

class Restricted {
 public:
  Restricted(const Decoder& decoder,
             Compaction& compaction,
             std::span<const Row* const> rows,
             const ReferenceFold* reference,
             const ReuseOptions& reuse)
      : decoder_(decoder),
        compaction_(compaction),
        rows_(rows),
        reference_(reference),
        reuse_(reuse),
        steps_(StepsOf(decoder.spec)) {}

  at::Tensor Run() {
    PlantTree();
    for (size_t i = 0; i < steps_.size(); ++i) Take(steps_[i], tree_.stages[i]);
    KeepLastTokens();
    const std::vector<int64_t> leaf(tree_.leaf.begin(), tree_.leaf.end());
    return streams_.x.index_select(0, ToDevice(leaf));
  }

 private:
  // The kept units of one kind in one step, and what they hold at the parents.
  struct Units {
    UnitRange range = {};
    std::vector<int32_t> computed = {};  // counted from range.first
    at::Tensor own = {};  // [tokens, computed * size]; undefined: none
    int64_t size = 1;     // numbers per unit
    at::Tensor weight = {};
    at::Tensor bias = {};           // undefined when absent
    at::Tensor reference = {};      // [rows, computed * size]
    at::Tensor reference_out = {};  // [rows, width]
  };

  void PlantTree();
  void Take(const Step& step, const TreeStage& stage);
  Units OwnHeads(int layer, const TreeStage& stage, bool last_only);
  Units OwnNeurons(int layer, const TreeStage& stage, bool last_only);
  std::vector<int32_t> Computed(const TreeStage& stage,
                                const UnitRange& range) const;
  // Moves from parents to children; the child tokens' parents, undefined where
  // they are the same.
  at::Tensor Branch(const TreeStage& stage);
  void Add(const TreeStage& stage,
           Units& units,
           const at::Tensor& parent_rows,
           const at::Tensor& from);
  void KeepLastTokens();
  void Arrange(std::vector<int> sequences, const std::vector<int>& lengths);

  at::Tensor ToDevice(const std::vector<int64_t>& values) const {
    return at::tensor(values, at::dtype(at::kLong)).to(decoder_.device);
  }

  const Decoder& decoder_;
  Compaction& compaction_;
  const std::span<const Row* const> rows_;
  const ReferenceFold* const reference_;
  const ReuseOptions& reuse_;
  const std::vector<Step> steps_;

  MaskTree tree_;
  std::unique_ptr<SequenceBatch> batch_;
  Streams streams_;
};

// Sets the layout of the nodes; the tensors are the caller's business.
void Restricted::Arrange(std::vector<int> sequences,
                         const std::vector<int>& lengths) {
  Nodes& nodes = streams_.nodes;
  nodes.sequence = std::move(sequences);
  nodes.runs = MakeRuns(lengths);
  std::vector<int64_t> last_tokens;
  int64_t tokens = 0;
  for (const int length : lengths)
    last_tokens.push_back((tokens += length) - 1);
  nodes.last_tokens = ToDevice(last_tokens);
}

std::vector<int> LengthsOf(const std::vector<Run>& runs) {
  std::vector<int> lengths;
  for (const Run& run : runs) {
    lengths.insert(lengths.end(), run.count, run.length);
  }
  return lengths;
}

void Restricted::PlantTree() {
  // Distinct sequences, shortest first.
  std::map<std::pair<int, Sequence>, int> index;
  std::vector<std::pair<int, Sequence>> of_row;
  for (const Row* row : rows_) {
    Sequence sequence =
        MakeSequence(*row->prompt, row->positions, reuse_.compact_positions);
    of_row.emplace_back(sequence.length(), std::move(sequence));
    index[of_row.back()] = 0;
  }
  std::vector<Sequence> sequences;
  for (auto& [sequence, position] : index) {
    position = static_cast<int>(sequences.size());
    sequences.push_back(sequence.second);
  }
  std::vector<TreeRow> rows;
  for (size_t i = 0; i < rows_.size(); ++i) {
    rows.push_back({.sequence = index[of_row[i]], .units = &rows_[i]->units});
  }
  std::vector<UnitRange> ranges;
  for (const Step& step : steps_) ranges.push_back(step.units);
  tree_ = GrowMaskTree(rows, ranges, reuse_.share_layers);

  batch_ = std::make_unique<SequenceBatch>(decoder_, std::move(sequences));
  streams_.nodes = OneNodePerSequence(*batch_);
  streams_.x = Embed(decoder_, *batch_);
  if (reference_ != nullptr) {
    streams_.reference_rows = reference_->values.Rows(batch_->ids());
  }
  Branch({.parent = tree_.root});
}

at::Tensor Restricted::Branch(const TreeStage& stage) {
  Nodes& nodes = streams_.nodes;
  if (stage.SameAsParents(static_cast<int>(nodes.sequence.size()))) return {};
  const std::vector<int> parent_lengths = LengthsOf(nodes.runs);
  std::vector<int64_t> first_token;
  int64_t tokens = 0;
  for (const int length : parent_lengths) {
    first_token.push_back(tokens);
    tokens += length;
  }
  std::vector<int> sequences, lengths;
  std::vector<int64_t> from;
  for (const int parent : stage.parent) {
    sequences.push_back(nodes.sequence[parent]);
    lengths.push_back(parent_lengths[parent]);
    for (int i = 0; i < lengths.back(); ++i) {
      from.push_back(first_token[parent] + i);
    }
  }
  const at::Tensor index = ToDevice(from);
  const auto gather = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.index_select(0, index);
  };
  gather(streams_.x);
  gather(streams_.reference_rows);
  gather(nodes.rotation);
  Arrange(std::move(sequences), lengths);
  return index;
}

void Restricted::KeepLastTokens() {
  Nodes& nodes = streams_.nodes;
  if (nodes.runs.size() == 1 && nodes.runs[0].length == 1) return;
  const auto keep = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.index_select(0, nodes.last_tokens);
  };
  keep(streams_.x);
  keep(streams_.reference_rows);
  nodes.rotation.reset();
  Arrange(nodes.sequence, std::vector<int>(nodes.sequence.size(), 1));
}

std::vector<int32_t> Restricted::Computed(const TreeStage& stage,
                                          const UnitRange& range) const {
  if (reuse_.compact_units) return KeptByAny(rows_, stage, range);
  std::vector<int32_t> all(range.count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Restricted::Units Restricted::OwnHeads(int layer,
                                       const TreeStage& stage,
                                       bool last_only) {
  const DecoderSpec& spec = decoder_.spec;
  const LayerWeights& weights = decoder_.weights.layers[layer];
  Units units{
      .range = {layer * (spec.num_heads + spec.mlp_width), spec.num_heads},
      .size = spec.head_dim};
  if (spec.layers[layer].o.bias.present()) units.bias = weights.o_bias;
  if (reference_) units.reference_out = reference_->heads_out[layer];
  units.computed = Computed(stage, units.range);
  if (units.computed.empty()) return units;
  KeptHeads kept = compaction_.Heads(layer, units.computed, reference_,
                                     /*exact=*/rows_.size() == 1);
  units.computed = std::move(kept.units);
  units.weight = kept.weights.o;
  units.reference = kept.reference;
  units.own = MixValues(decoder_, layer, kept.weights, *batch_, streams_.nodes,
                        Normalize(decoder_, weights.attention_norm, streams_.x),
                        last_only);
  return units;
}

Restricted::Units Restricted::OwnNeurons(int layer,
                                         const TreeStage& stage,
                                         bool last_only) {
  const DecoderSpec& spec = decoder_.spec;
  const LayerWeights& weights = decoder_.weights.layers[layer];
  Units units{
      .range = {layer * (spec.num_heads + spec.mlp_width) + spec.num_heads,
                spec.mlp_width}};
  if (spec.layers[layer].down.bias.present()) units.bias = weights.down_bias;
  if (reference_) units.reference_out = reference_->neurons_out[layer];
  units.computed = Computed(stage, units.range);
  if (units.computed.empty()) return units;
  KeptNeurons kept = compaction_.Neurons(layer, units.computed, reference_,
                                         /*exact=*/rows_.size() == 1);
  units.computed = std::move(kept.units);
  units.weight = kept.weights.down;
  units.reference = kept.reference;
  const at::Tensor x =
      last_only ? streams_.x.index_select(0, streams_.nodes.last_tokens)
                : streams_.x;
  units.own = Activate(decoder_, kept.weights,
                       Normalize(decoder_, weights.mlp_norm, x));
  return units;
}

void Restricted::Take(const Step& step, const TreeStage& stage) {
  const bool last_only =
      reuse_.readout_only && step.layer == decoder_.spec.num_layers - 1;
  Units heads, neurons;
  if (step.heads) heads = OwnHeads(step.layer, stage, last_only);
  if (step.neurons) {
    neurons = OwnNeurons(step.layer, stage, last_only && step.heads);
  }
  if (last_only) KeepLastTokens();
  const at::Tensor parent_rows = streams_.reference_rows;
  const at::Tensor from = Branch(stage);
  if (step.heads) Add(stage, heads, parent_rows, from);
  if (step.neurons) Add(stage, neurons, parent_rows, from);
}

// The stream of the children += the units' masked values times their weights.
void Restricted::Add(const TreeStage& stage,
                     Units& units,
                     const at::Tensor& parent_rows,
                     const at::Tensor& from) {
  const auto add_constant = [&](bool folded) {
    if (folded) {
      streams_.x.add_(
          units.reference_out.index_select(0, streams_.reference_rows));
    } else if (units.bias.defined()) {
      streams_.x.add_(units.bias);
    }
  };
  if (!units.own.defined()) {
    add_constant(/*folded=*/reference_ != nullptr);
    return;
  }
  const UnitMasks masks(rows_, stage, units.range, units.computed,
                        streams_.x.options());
  const bool complete =
      masks.all_on() &&
      static_cast<int>(units.computed.size()) == units.range.count;
  const bool folded = reference_ != nullptr && !complete;
  at::Tensor values = units.own;
  if (folded) {
    values =
        values -
        units.reference.index_select(0, parent_rows).to(values.scalar_type());
  }
  if (from.defined()) values = values.index_select(0, from);
  if (!masks.all_on()) masks.Apply(streams_.nodes.runs, units.size, values);
  streams_.x.addmm_(values, units.weight);
  add_constant(folded);
}

}  // namespace

at::Tensor RestrictedStreams(const Decoder& decoder,
                             Compaction& compaction,
                             std::span<const Row* const> rows,
                             const ReferenceFold* reference,
                             const ReuseOptions& reuse) {
  return Restricted(decoder, compaction, rows, reference, reuse).Run();
}

}  // namespace spar::models
