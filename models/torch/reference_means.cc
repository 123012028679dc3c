#include "models/torch/reference_means.h"

#include <algorithm>

#include "base/status.h"
#include "models/digest.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Note [Mean reference]
// One value per unit and position id, averaged over the reference prompts run
// whole with every unit on. Position 0 stands apart: its activations are
// unlike all others. A later position that fewer than kFewestPrompts prompts
// reach takes the mean over all positions from 1 on of all prompts (zero where
// no prompt has a second token).
constexpr int kFewestPrompts = 8;
constexpr int64_t kTokensPerChunk = 2048;

// How many leading positions have a row of their own.
int OwnRows(const std::vector<std::vector<TokenId>>& prompts) {
  for (size_t position = 1;; ++position) {
    const auto reach =
        std::count_if(prompts.begin(), prompts.end(),
                      [&](const auto& p) { return p.size() > position; });
    if (reach < kFewestPrompts) return static_cast<int>(position);
  }
}

// Sums in float64: own rows first, then the pooled one.
struct Sums {
  at::Tensor values;  // [own_rows + 1, width]

  Sums(int own_rows, int64_t width, at::Device device)
      : values(at::zeros({own_rows + 1, width},
                         at::dtype(at::kDouble).device(device))) {}

  // activations: [tokens, width] at `ids`.
  void Add(const at::Tensor& activations, const at::Tensor& ids) {
    const int64_t own_rows = values.size(0) - 1;
    const at::Tensor wide = activations.to(at::kDouble);
    const at::Tensor own = (ids < own_rows).nonzero().squeeze(1);
    values.index_add_(0, ids.index_select(0, own), wide.index_select(0, own));
    const at::Tensor later = (ids > 0).nonzero().squeeze(1);
    values.select(0, own_rows).add_(wide.index_select(0, later).sum(0));
  }
};

// The counts that go with Sums.
at::Tensor Counts(const std::vector<std::vector<TokenId>>& prompts,
                  int own_rows,
                  at::Device device) {
  std::vector<double> counts(own_rows + 1, 0);
  for (const std::vector<TokenId>& prompt : prompts) {
    const int length = static_cast<int>(prompt.size());
    for (int i = 0; i < std::min(own_rows, length); ++i) ++counts[i];
    counts.back() += length - 1;
  }
  counts.back() = std::max(counts.back(), 1.0);
  return at::tensor(counts, at::dtype(at::kDouble)).to(device).unsqueeze(1);
}

}  // namespace

std::string ReferenceDigestOf(ReferenceKind kind,
                              std::span<const std::vector<TokenId>> prompts) {
  if (kind == ReferenceKind::kZero) return Sha256Hex("zero");
  std::string text = "mean[";
  for (const std::vector<TokenId>& prompt : prompts) {
    text += text.back() == '[' ? "[" : ",[";
    for (const TokenId token : prompt) {
      text += base::Cat(text.back() == '[' ? "" : ",", token);
    }
    text += "]";
  }
  return Sha256Hex(text + "]");
}

ReferenceValues MeasureMeans(const Decoder& decoder,
                             const std::vector<std::vector<TokenId>>& prompts) {
  const DecoderSpec& spec = decoder.spec;
  const int own_rows = OwnRows(prompts);
  std::vector<Sums> heads, neurons;
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    heads.emplace_back(own_rows, int64_t{spec.num_heads} * spec.head_dim,
                       decoder.device);
    neurons.emplace_back(own_rows, spec.mlp_width, decoder.device);
  }
  for (size_t i = 0; i < prompts.size();) {
    std::vector<Sequence> chunk;
    for (int64_t tokens = 0; i < prompts.size() && tokens < kTokensPerChunk;
         ++i) {
      tokens += static_cast<int64_t>(prompts[i].size());
      chunk.push_back(WholeSequence(prompts[i]));
    }
    SequenceBatch batch(decoder, std::move(chunk));
    MaskOptions options;
    options.last_only = false;
    options.see_heads = [&](int layer, const at::Tensor& values) {
      heads[layer].Add(values, batch.ids());
    };
    options.see_neurons = [&](int layer, const at::Tensor& values) {
      neurons[layer].Add(values, batch.ids());
    };
    MaskedForward(decoder, batch, options);
  }
  const at::Tensor counts = Counts(prompts, own_rows, decoder.device);
  ReferenceValues means{.last_row = own_rows};
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    means.heads.push_back((heads[layer].values / counts).to(at::kFloat));
    means.neurons.push_back((neurons[layer].values / counts).to(at::kFloat));
  }
  return means;
}

}  // namespace spar::models
