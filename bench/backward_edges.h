// The slow way to a graph's edges, to be measured: one backward pass for each
// target, or one for several targets that each have a copy of the prompt.
#pragma once

#include <map>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/trace.h"

namespace spar::bench {

struct BackwardOptions {
  int copies = 1;           // of the prompt: targets of one backward pass
  bool stop_delta = false;  // cut the gradient at Deltas too
};

// A decomposed VPD-shaped run (RMSNorm, rotary, one up matrix, no biases) as
// the method's public code sets it up: all masks 1, every matrix a U + x Delta,
// and a cut at every subcomponent activation.
class BackwardEdges {
 public:
  using Site = std::pair<models::SitePart, int>;

  BackwardEdges(const models::Decoder& decoder,
                std::span<const models::ModuleFactors> factors,
                std::span<const models::TokenId> tokens,
                std::span<const int32_t> logits,
                const BackwardOptions& options);

  // One backward pass: from target i, (position, index), of copy i, to the
  // activations of every matrix that reaches the site directly. Seconds of CPU.
  double Run(const Site& site, std::span<const std::pair<int, int>> targets);

 private:
  struct Cut {
    at::Tensor activation = {};  // [copies, T, C], what made it
    at::Tensor leaf = {};        // the same, cut
  };

  at::Tensor Normed(const models::NormWeights& norm, const at::Tensor& x) const;
  at::Tensor Write(const Site& site, const at::Tensor& x, at::Tensor weight);
  at::Tensor Attend(int layer, const at::Tensor& x);
  at::Tensor Rotate(const at::Tensor& heads) const;
  std::vector<at::Tensor> Sources(const Site& site) const;

  const models::Decoder& decoder_;
  const std::span<const models::ModuleFactors> factors_;
  const BackwardOptions options_;
  const int64_t tokens_;
  at::Tensor cos_, sin_;  // [T, pairs]
  at::Tensor embedding_;  // [copies, T, d], a leaf
  std::map<Site, Cut> cuts_;
  at::Tensor logits_;  // [copies, logits], at the last position
};

// Of this process, all threads.
double CpuSeconds();

}  // namespace spar::bench
