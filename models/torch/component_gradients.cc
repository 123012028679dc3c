#include "models/torch/component_gradients.h"

#include <cstring>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/component_forward.h"
#include "models/torch/margin_gradient.h"
#include "models/torch/readout.h"

namespace spar::models {
namespace {

// The masks of all rows as one matrix with a line for each slot: a row's one,
// or one for each of its tokens.
class MaskLines {
 public:
  MaskLines(std::span<const GradientRow* const> rows,
            const ComponentLayout& layout)
      : layout_(layout) {
    for (const GradientRow* const row : rows) {
      const std::vector<int32_t> positions = row->positions.Members();
      const bool by_position = row->prompt->space == UnitSpace::kNodes;
      first_.push_back(static_cast<int64_t>(offset_.size()));
      if (!by_position) offset_.push_back(0);
      for (const int32_t position : positions) {
        if (by_position) {
          offset_.push_back(int64_t{position} * layout.per_position);
        }
        of_token_.push_back(static_cast<int64_t>(offset_.size()) - 1);
      }
    }
    first_.push_back(static_cast<int64_t>(offset_.size()));
    values_ =
        at::empty({first_.back(), layout.per_position}, at::dtype(at::kFloat));
    for (size_t r = 0; r < rows.size(); ++r) {
      for (int64_t line = first_[r]; line < first_[r + 1]; ++line) {
        std::memcpy(
            values_.mutable_data_ptr<float>() + line * layout.per_position,
            rows[r]->masks.data() + offset_[line],
            layout.per_position * sizeof(float));
      }
    }
  }

  const at::Tensor& values() const { return values_; }

  // Of one module, from `leaf`, the values on the device.
  ComponentMasks Of(const ModuleUnitRange& module,
                    const at::Tensor& leaf) const {
    const int64_t first = module.units.first;
    at::Tensor values = leaf.narrow(1, first, module.num_components);
    at::Tensor deltas = leaf.select(1, first + module.num_components);
    if (static_cast<size_t>(leaf.size(0)) != of_token_.size()) {
      const at::Tensor lines =
          at::tensor(of_token_, at::dtype(at::kLong)).to(leaf.device());
      values = values.index_select(0, lines);
      deltas = deltas.index_select(0, lines);
    }
    return {.values = values, .deltas = deltas};
  }

  // A row's share of `gradient`, [lines, units], on the CPU.
  std::vector<float> GradientOf(size_t row,
                                const GradientRow& of,
                                const at::Tensor& gradient) const {
    std::vector<float> share(of.masks.size(), 0);
    for (int64_t line = first_[row]; line < first_[row + 1]; ++line) {
      std::memcpy(
          share.data() + offset_[line],
          gradient.const_data_ptr<float>() + line * layout_.per_position,
          layout_.per_position * sizeof(float));
    }
    return share;
  }

 private:
  const ComponentLayout& layout_;
  std::vector<int64_t> first_ = {};     // line of each row
  std::vector<int64_t> offset_ = {};    // of each line in its row's masks
  std::vector<int64_t> of_token_ = {};  // line
  at::Tensor values_ = {};
};

// What the way back needs of some rows of `tokens` tokens in all: of each
// subcomponent its mask, its activation and their products and gradients.
int64_t GradientBytes(const DecoderSpec& spec,
                      const ComponentLayout& layout,
                      int64_t rows,
                      int64_t tokens) {
  const int64_t heads = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t mlp = int64_t{spec.mlp_width} * (spec.gated_mlp ? 10 : 6);
  const int64_t per_token =
      spec.num_layers * (14 * int64_t{spec.width} + 12 * heads + mlp) +
      6 * int64_t{layout.per_position};
  return 4 * (tokens * per_token + rows * 4 * int64_t{spec.vocab_size});
}

}  // namespace

std::vector<PlannedBatch> PlanComponentGradients(
    std::span<const GradientRow> rows,
    const DecoderSpec& spec,
    const ComponentLayout& layout,
    int64_t max_bytes) {
  return PlanGradientBatches(
      rows, max_bytes, [&](int64_t num_rows, int64_t tokens) {
        return GradientBytes(spec, layout, num_rows, tokens);
      });
}

std::vector<RowGradient> ComponentGradients(
    DecomposedDecoder& decoder,
    const ComponentLayout& layout,
    const ComponentMeans* means,
    std::span<const GradientRow* const> rows) {
  const c10::AutoGradMode gradients(true);
  const Decoder& model = decoder.decoder();
  const MaskLines lines(rows, layout);
  at::Tensor leaf = lines.values().to(model.device);
  leaf.requires_grad_(true);
  std::vector<Sequence> sequences;
  std::vector<TokenId> targets;
  for (const GradientRow* const row : rows) {
    sequences.push_back(
        MakeSequence(*row->prompt, row->positions, /*compact=*/true));
    targets.push_back(row->prompt->target);
  }
  SequenceBatch batch(model, std::move(sequences));
  at::Tensor reference_rows;
  if (means != nullptr) {
    reference_rows = batch.ids().clamp_max(means->last_row);
  }
  std::vector<ComponentMasks> masks;
  for (const ModuleUnitRange& module : layout.modules) {
    masks.push_back(lines.Of(module, leaf.to(model.dtype)));
  }
  ComponentRun run;
  run.modules = MaskModules(decoder, std::move(masks), means, reference_rows);
  run.last_only = true;
  const at::Tensor logits =
      Logits(model, ComponentForward(decoder, batch, run));
  const c10::AutoGradMode no_gradients(false);
  at::Tensor smooth;
  logits.backward(SmoothMarginGradient(logits, targets, smooth));
  const at::Tensor gradient = leaf.grad().to(at::kCPU).contiguous();
  const at::Tensor margins = smooth.to(at::kCPU).contiguous();
  const std::vector<RowResult> plain =
      ReadMargins(logits.detach().clone(), targets);
  std::vector<RowGradient> results;
  for (size_t i = 0; i < rows.size(); ++i) {
    results.push_back({.margin = plain[i].margin,
                       .smooth_margin = margins.const_data_ptr<float>()[i],
                       .gradient = lines.GradientOf(i, *rows[i], gradient)});
  }
  return results;
}

}  // namespace spar::models
