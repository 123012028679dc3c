#include "models/torch/prune/prompt_nodes.h"

#include <bit>

#include "base/splitmix64.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/masked_forward.h"
#include "models/torch/prune/prune_readout.h"

namespace spar::models {
namespace {

std::vector<int32_t> Ints(const at::Tensor& tensor) {
  const at::Tensor ints = tensor.to(at::kCPU, at::kInt).contiguous();
  const int32_t* const begin = ints.const_data_ptr<int32_t>();
  return {begin, begin + ints.numel()};
}

// The model's own logits at the last of `tokens`, [1, vocab].
at::Tensor ModelLogits(const Decoder& decoder,
                       const std::vector<TokenId>& tokens) {
  SequenceBatch batch(decoder, {WholeSequence(tokens)});
  MaskOptions options;
  options.last_only = true;
  return Logits(decoder, MaskedForward(decoder, batch, options));
}

}  // namespace

PromptNodes FindPromptNodes(const PruneSubject& subject,
                            const PruneRequest& request,
                            const PrunePrompt& prompt) {
  const c10::AutoGradMode no_gradients(false);
  PromptNodes found;
  found.length = static_cast<int64_t>(prompt.tokens.size());
  const int64_t read =
      prompt.position == kLastPosition ? found.length : prompt.position + 1;
  found.tokens.assign(prompt.tokens.begin(), prompt.tokens.begin() + read);
  const at::Tensor said =
      ModelLogits(subject.decomposed->decoder(), found.tokens);
  found.log_probabilities = said.log_softmax(1);
  found.target = prompt.target.value_or(
      static_cast<TokenId>(said.argmax(1).item<int64_t>()));
  found.model = PruneReadout({&found}).Read(said).front();

  const std::vector<at::Tensor> all = subject.logits(prompt.tokens);
  std::vector<at::Tensor> logits;
  for (const at::Tensor& module : all) {
    const at::Tensor z = module.narrow(0, 0, read).to(at::kFloat);
    const at::Tensor alive = LowerSigmoid(subject.sigmoid, subject.sampling, z)
                                 .gt(request.alive_threshold)
                                 .nonzero();  // [n, 2], by position
    const at::Tensor position = alive.select(1, 0);
    const at::Tensor component = alive.select(1, 1);
    const std::vector<int32_t> positions = Ints(position);
    const std::vector<int32_t> components = Ints(component);
    found.position.insert(found.position.end(), positions.begin(),
                          positions.end());
    found.component.insert(found.component.end(), components.begin(),
                           components.end());
    found.begin.push_back(static_cast<int64_t>(found.position.size()));
    logits.push_back(
        z.reshape({-1}).index_select(0, position * z.size(1) + component));
  }
  found.logits = at::cat(logits);
  if (request.start == PruneStart::kOnes) found.logits.fill_(1);
  return found;
}

uint64_t RowKey(uint64_t seed, const PromptNodes& nodes, double price) {
  uint64_t key = base::SplitMix64(seed);
  const auto mix = [&key](uint64_t part) {
    key = base::SplitMix64(key ^ part);
  };
  mix(nodes.tokens.size());
  for (const TokenId token : nodes.tokens) mix(static_cast<uint64_t>(token));
  mix(static_cast<uint64_t>(nodes.target));
  mix(std::bit_cast<uint64_t>(price));
  return key;
}

}  // namespace spar::models
