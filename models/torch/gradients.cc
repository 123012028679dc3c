#include "models/torch/gradients.h"

#include <cstring>

#include "models/torch/aten.h"
#include "models/torch/readout.h"

namespace spar::models {

int64_t GradientBytes(const Decoder& decoder, int64_t rows, int64_t tokens) {
  const DecoderSpec& spec = decoder.spec;
  const int64_t heads = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t mlp = int64_t{spec.mlp_width} * (spec.gated_mlp ? 6 : 4);
  const int64_t per_token = 8 * int64_t{spec.width} + 8 * heads + mlp;
  const int64_t units =
      int64_t{spec.num_layers} * (int64_t{spec.num_heads} + spec.mlp_width);
  return 4 * (tokens * per_token * spec.num_layers +
              rows * (3 * units + 4 * int64_t{spec.vocab_size}));
}

std::vector<RowGradient> MaskGradients(const Decoder& decoder,
                                       std::span<const GradientRow* const> rows,
                                       const ReferenceValues* reference) {
  const c10::AutoGradMode with_gradients(true);
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
  masks = masks.to(decoder.device);
  masks.requires_grad_(true);
  SequenceBatch batch(decoder, std::move(sequences));
  const MaskOptions options{.masks = masks.to(decoder.dtype),
                            .reference = reference};
  const at::Tensor logits =
      Logits(decoder, MaskedForward(decoder, batch, options));
  const at::Tensor smooth = SmoothMargins(logits, targets);
  smooth.sum().backward();

  const at::Tensor gradient = masks.grad().to(at::kCPU).contiguous();
  const at::Tensor margins = smooth.detach().to(at::kCPU).contiguous();
  const std::vector<RowResult> plain = ReadMargins(logits.detach(), targets);
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
