#include "models/torch/component_rows.h"

#include <map>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/component_forward.h"
#include "models/torch/component_gradients.h"
#include "models/torch/component_plan.h"
#include "models/torch/mask_tree.h"
#include "models/torch/readout.h"

namespace spar::models {
namespace {

// One batch in progress: layer by layer, the distinct streams of all rows.
class Batch {
 public:
  Batch(DecomposedDecoder& decoder,
        const ComponentLayout& layout,
        const ComponentMeans* means,
        const ReuseOptions& reuse)
      : decoder_(decoder), layout_(layout), means_(means), reuse_(reuse) {}

  // The stream at each row's last token, [rows, width].
  at::Tensor Run(std::span<const Row* const> rows) {
    Arrange(rows);
    const int num_layers = decoder_.decoder().spec.num_layers;
    const MaskTree tree = GrowMaskTree(
        sequence_of_row_, num_layers,
        [this](int row, int layer) { return Key(rows_[row], layer); },
        reuse_.share_layers);
    node_sequences_ = tree.root;
    for (int layer = 0; layer < num_layers; ++layer) {
      Layer(layer, tree.stages[layer], layer == num_layers - 1);
    }
    const std::vector<int64_t> leaves(tree.leaf.begin(), tree.leaf.end());
    return stream_.index_select(0, Indices(leaves));
  }

 private:
  at::Tensor Indices(const std::vector<int64_t>& indices) const {
    return at::tensor(indices, at::dtype(at::kLong))
        .to(decoder_.decoder().device);
  }

  // Distinct sequences, shortest first, so that those of a length are
  // neighbours.
  void Arrange(std::span<const Row* const> rows) {
    std::map<std::pair<int, Sequence>, int> index;
    std::vector<std::pair<int, Sequence>> of_row;
    for (const Row* const row : rows) {
      rows_.push_back(ComputedRow(*row, reuse_));
      Sequence sequence =
          MakeSequence(*row->prompt, row->positions, reuse_.compact_positions);
      of_row.emplace_back(sequence.length(), std::move(sequence));
      index.emplace(of_row.back(), 0);
    }
    for (auto& [sequence, position] : index) {
      position = static_cast<int>(sequences_.size());
      sequences_.push_back(sequence.second);
    }
    for (const auto& sequence : of_row) {
      sequence_of_row_.push_back(index.at(sequence));
    }
  }

  // What a row keeps in a layer, at every slot.
  std::vector<uint64_t> Key(const ComponentRow& row, int layer) const {
    std::vector<uint64_t> key;
    for (const int module : layout_.of_layer[layer]) {
      for (int slot = 0; slot < row.num_slots(); ++slot) {
        const std::vector<uint64_t> kept =
            KeptAt(row, layout_, layout_.modules[module].units, slot);
        key.insert(key.end(), kept.begin(), kept.end());
      }
    }
    return key;
  }

  // Children take their parents' streams.
  void Branch(const TreeStage& stage) {
    const bool same =
        stage.SameAsParents(static_cast<int>(node_sequences_.size()));
    if (same && batch_ != nullptr) return;
    std::vector<int64_t> first_token = {0};
    for (const int sequence : node_sequences_) {
      first_token.push_back(first_token.back() + sequences_[sequence].length());
    }
    std::vector<int64_t> tokens;
    std::vector<int> sequences;
    std::vector<Sequence> copies;
    for (const int parent : stage.parent) {
      sequences.push_back(node_sequences_[parent]);
      copies.push_back(sequences_[sequences.back()]);
      for (int64_t token = first_token[parent]; token < first_token[parent + 1];
           ++token) {
        tokens.push_back(token);
      }
    }
    node_sequences_ = std::move(sequences);
    batch_ =
        std::make_unique<SequenceBatch>(decoder_.decoder(), std::move(copies));
    if (stream_.defined()) stream_ = stream_.index_select(0, Indices(tokens));
    if (means_ != nullptr) {
      reference_rows_ = batch_->ids().clamp_max(means_->last_row);
    }
  }

  void Layer(int layer, const TreeStage& stage, bool is_last) {
    Branch(stage);
    std::vector<const ComponentRow*> nodes;
    for (const int row : stage.row) nodes.push_back(&rows_[row]);
    std::vector<ComponentMasks> masks(decoder_.modules().size());
    const at::TensorOptions options =
        at::dtype(decoder_.decoder().dtype).device(decoder_.decoder().device);
    for (const int module : layout_.of_layer[layer]) {
      masks[module] =
          MasksOf(layout_, module, nodes, !reuse_.compact_units, options);
    }
    ComponentRun run;
    run.modules =
        MaskModules(decoder_, std::move(masks), means_, reference_rows_);
    run.first_layer = layer;
    run.end_layer = layer + 1;
    run.stream = stream_;
    run.last_only = is_last && reuse_.readout_only;
    stream_ = ComponentForward(decoder_, *batch_, run);
    if (is_last && !reuse_.readout_only) {
      stream_ = stream_.index_select(0, batch_->last_tokens());
    }
  }

  DecomposedDecoder& decoder_;
  const ComponentLayout& layout_;
  const ComponentMeans* const means_;
  const ReuseOptions& reuse_;
  std::vector<Sequence> sequences_ = {};
  std::vector<ComponentRow> rows_ = {};
  std::vector<int> sequence_of_row_ = {};
  // The nodes of the layer at hand.
  std::vector<int> node_sequences_ = {};
  std::unique_ptr<SequenceBatch> batch_ = nullptr;
  at::Tensor stream_ = {};          // [tokens, width]
  at::Tensor reference_rows_ = {};  // [tokens]
};

}  // namespace

ComponentRows::ComponentRows(
    DecomposedDecoder& decoder,
    const DecompositionSpec& spec,
    const std::vector<std::vector<TokenId>>& reference_prompts)
    : decoder_(decoder),
      layout_(LayOut(spec, decoder.decoder().spec.num_layers)),
      reference_prompts_(reference_prompts) {}

const ComponentMeans* ComponentRows::Means(ReferenceKind kind) {
  if (kind == ReferenceKind::kZero) return nullptr;
  if (means_ == nullptr) {
    means_ = std::make_unique<ComponentMeans>(
        MeasureComponentMeans(decoder_, reference_prompts_));
  }
  return means_.get();
}

std::vector<PlannedBatch> ComponentRows::Plan(std::span<const Row> rows,
                                              const ReuseOptions& reuse,
                                              int64_t max_bytes) const {
  return PlanComponentBatches(rows, decoder_.decoder().spec, layout_, reuse,
                              max_bytes);
}

void ComponentRows::Run(std::span<const Row> rows,
                        const PlannedBatch& batch,
                        const ReuseOptions& reuse,
                        std::vector<RowResult>& results) {
  const ComponentMeans* const means = Means(batch.reference);
  const c10::InferenceMode inference;
  std::vector<const Row*> chosen;
  std::vector<TokenId> targets;
  for (const int row : batch.rows) {
    chosen.push_back(&rows[row]);
    targets.push_back(rows[row].prompt->target);
  }
  const at::Tensor streams = Batch(decoder_, layout_, means, reuse).Run(chosen);
  const std::vector<RowResult> some =
      ReadStreams(decoder_.decoder(), streams, targets);
  for (size_t i = 0; i < some.size(); ++i) results[batch.rows[i]] = some[i];
}

std::vector<PlannedBatch> ComponentRows::PlanGradients(
    std::span<const GradientRow> rows, int64_t max_bytes) const {
  return PlanComponentGradients(rows, decoder_.decoder().spec, layout_,
                                max_bytes);
}

void ComponentRows::RunGradients(std::span<const GradientRow> rows,
                                 const PlannedBatch& batch,
                                 std::vector<RowGradient>& results) {
  std::vector<const GradientRow*> chosen;
  for (const int row : batch.rows) chosen.push_back(&rows[row]);
  std::vector<RowGradient> some =
      ComponentGradients(decoder_, layout_, Means(batch.reference), chosen);
  for (size_t i = 0; i < some.size(); ++i) {
    results[batch.rows[i]] = std::move(some[i]);
  }
}

}  // namespace spar::models
