#include "models/torch/decomposition/sparse_importances.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/errors.h"

namespace spar::models {
namespace {

// Floats per token that the run holds at once, generously.
int64_t BytesPerToken(const DecoderSpec& decoder,
                      const DecompositionSpec& spec) {
  int64_t floats = 8 * (int64_t{decoder.width} + decoder.mlp_width);
  for (const DecomposedModule& module : spec.modules) {
    if (module.site != ModuleSite::kEmbedding) floats += module.d_in;
  }
  int64_t hidden = spec.ci.width;
  for (const int width : spec.ci.hidden)
    hidden = std::max<int64_t>(hidden, width);
  floats += 4 * spec.num_components() + 4 * hidden;
  return floats * int64_t{sizeof(float)};
}

template <typename T>
std::vector<T> ToVector(const at::Tensor& x) {
  const at::Tensor host = x.cpu().contiguous();
  const T* const values = host.const_data_ptr<T>();
  return std::vector<T>(values, values + host.numel());
}

// The entries of one module above the threshold, put to their prompts.
// g, a: [tokens, C]; prompts lie one after another.
void Collect(const at::Tensor& g,
             const at::Tensor& a,
             double threshold,
             size_t module,
             std::span<const std::vector<TokenId>> prompts,
             std::span<PromptImportances> results) {
  const at::Tensor kept = at::nonzero(g > threshold);  // [n, 2], by row
  const std::vector<int64_t> rows = ToVector<int64_t>(kept.select(1, 0));
  const std::vector<int64_t> components = ToVector<int64_t>(kept.select(1, 1));
  const at::Tensor flat = kept.select(1, 0) * g.size(1) + kept.select(1, 1);
  const std::vector<float> importances =
      ToVector<float>(g.reshape({-1}).index_select(0, flat));
  const std::vector<float> activations =
      ToVector<float>(a.reshape({-1}).index_select(0, flat));
  size_t at = 0;
  int64_t row = 0;
  for (size_t p = 0; p < prompts.size(); ++p) {
    ModuleImportances& result = results[p].modules[module];
    const size_t first = at;
    for (size_t t = 0; t < prompts[p].size(); ++t, ++row) {
      while (at < rows.size() && rows[at] == row) ++at;
      result.begin.push_back(static_cast<int64_t>(at - first));
    }
    result.component.assign(components.begin() + first,
                            components.begin() + at);
    result.importance.assign(importances.begin() + first,
                             importances.begin() + at);
    result.activation.assign(activations.begin() + first,
                             activations.begin() + at);
  }
}

void RunSome(const Decoder& decoder,
             const LoadedDecomposition& decomposition,
             std::span<const std::vector<TokenId>> prompts,
             const ImportanceOptions& options,
             std::span<PromptImportances> results) {
  const c10::InferenceMode inference;
  std::vector<Sequence> sequences;
  for (const std::vector<TokenId>& prompt : prompts) {
    sequences.push_back(WholeSequence(prompt));
  }
  SequenceBatch batch(decoder, std::move(sequences));
  const ModuleInputs inputs =
      CaptureInputs(decoder, batch, decomposition.spec().modules);
  const std::vector<at::Tensor> a = decomposition.Activations(inputs);
  const std::vector<at::Tensor> g = decomposition.Importances(inputs, a);
  for (PromptImportances& result : results) result.modules.resize(g.size());
  for (size_t m = 0; m < g.size(); ++m) {
    Collect(g[m], a[m], options.threshold, m, prompts, results);
  }
}

}  // namespace

absl::Status CheckImportanceLength(const LoadedDecomposition& decomposition,
                                   size_t length,
                                   const std::string& field) {
  const int limit = decomposition.max_positions();
  if (limit == 0 || length <= static_cast<size_t>(limit)) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(
      "PROMPT_TOO_LONG", field,
      base::Cat(field, " has ", length,
                " tokens; the decomposition's causal importance function ",
                "takes at most ", limit),
      {{"tokens", base::Cat(length)}, {"max_tokens", base::Cat(limit)}});
}

absl::StatusOr<std::vector<PromptImportances>> ComputeImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options,
    int64_t max_bytes) {
  for (size_t p = 0; p < prompts.size(); ++p) {
    RETURN_IF_ERROR(
        CheckImportanceLength(decomposition, prompts[p].size(),
                              base::Cat("prompts[", p, "].tokens")));
  }
  const int64_t per_token = BytesPerToken(decoder.spec, decomposition.spec());
  const int64_t max_tokens = std::max<int64_t>(1, max_bytes / per_token);
  std::vector<PromptImportances> results(prompts.size());
  RETURN_IF_ERROR(CatchTorch("computing causal importances", [&] {
    size_t begin = 0;
    while (begin < prompts.size()) {
      size_t end = begin;
      int64_t tokens = 0;
      do {
        tokens += static_cast<int64_t>(prompts[end++].size());
      } while (end < prompts.size() &&
               tokens + static_cast<int64_t>(prompts[end].size()) <=
                   max_tokens);
      RunSome(decoder, decomposition, prompts.subspan(begin, end - begin),
              options, std::span(results).subspan(begin, end - begin));
      begin = end;
    }
    return absl::OkStatus();
  }));
  return results;
}

absl::StatusOr<std::vector<at::Tensor>> DenseImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    std::span<const TokenId> tokens) {
  RETURN_IF_ERROR(
      CheckImportanceLength(decomposition, tokens.size(), "prompt.tokens"));
  SequenceBatch batch(decoder, {WholeSequence(tokens)});
  return BatchImportances(decoder, decomposition, batch);
}

std::vector<at::Tensor> BatchImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    SequenceBatch& batch) {
  const c10::AutoGradMode no_gradients(false);
  const ModuleInputs inputs =
      CaptureInputs(decoder, batch, decomposition.spec().modules);
  return decomposition.Importances(inputs, decomposition.Activations(inputs));
}

std::vector<at::Tensor> DenseLogits(const Decoder& decoder,
                                    const LoadedDecomposition& decomposition,
                                    std::span<const TokenId> tokens) {
  const c10::AutoGradMode no_gradients(false);
  SequenceBatch batch(decoder, {WholeSequence(tokens)});
  const ModuleInputs inputs =
      CaptureInputs(decoder, batch, decomposition.spec().modules);
  return decomposition.Logits(inputs, decomposition.Activations(inputs));
}

}  // namespace spar::models
