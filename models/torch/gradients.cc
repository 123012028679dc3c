#include "models/torch/gradients.h"

#include <cstring>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/margin_gradient.h"
#include "models/torch/readout.h"

namespace spar::models {

namespace {

// What the way back needs of some rows of `tokens` tokens in all.
int64_t GradientBytes(const DecoderSpec& spec, int64_t rows, int64_t tokens) {
  const int64_t heads = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t mlp = int64_t{spec.mlp_width} * (spec.gated_mlp ? 6 : 4);
  const int64_t per_token = 8 * int64_t{spec.width} + 8 * heads + mlp;
  const int64_t units =
      int64_t{spec.num_layers} * (int64_t{spec.num_heads} + spec.mlp_width);
  return 4 * (tokens * per_token * spec.num_layers +
              rows * (3 * units + 4 * int64_t{spec.vocab_size}));
}

}  // namespace

std::vector<PlannedBatch> PlanGradients(const Decoder& decoder,
                                        std::span<const GradientRow> rows,
                                        int64_t max_bytes) {
  return PlanGradientBatches(
      rows, max_bytes, [&](int64_t num_rows, int64_t tokens) {
        return GradientBytes(decoder.spec, num_rows, tokens);
      });
}

std::vector<RowGradient> MaskGradients(const Decoder& decoder,
                                       std::span<const GradientRow* const> rows,
                                       const ReferenceValues* reference) {
  const c10::InferenceMode inference;
  const int64_t num_rows = static_cast<int64_t>(rows.size());
  const int64_t num_units = static_cast<int64_t>(rows[0]->masks.size());
  at::Tensor masks = at::empty({num_rows, num_units}, at::dtype(at::kFloat));
  std::vector<Sequence> sequences;
  std::vector<TokenId> targets;
  for (int64_t i = 0; i < num_rows; ++i) {
    const GradientRow& row = *rows[i];
    std::memcpy(masks.mutable_data_ptr<float>() + i * num_units,
                row.masks.data(), num_units * sizeof(float));
    sequences.push_back(
        MakeSequence(*row.prompt, row.positions, /*compact=*/true));
    targets.push_back(row.prompt->target);
  }
  SequenceBatch batch(decoder, std::move(sequences));
  const MarginGradient some = DifferentiateMargins(
      decoder, batch, masks.to(decoder.device, decoder.dtype), reference,
      targets);
  const at::Tensor gradient = some.gradient.to(at::kCPU).contiguous();
  const at::Tensor margins = some.smooth.to(at::kCPU).contiguous();
  const std::vector<RowResult> plain = ReadMargins(some.logits, targets);
  std::vector<RowGradient> results;
  for (int64_t i = 0; i < num_rows; ++i) {
    const float* const begin = gradient.const_data_ptr<float>() + i * num_units;
    results.push_back({.margin = plain[i].margin,
                       .smooth_margin = margins.const_data_ptr<float>()[i],
                       .gradient = {begin, begin + num_units}});
  }
  return results;
}

}  // namespace spar::models
