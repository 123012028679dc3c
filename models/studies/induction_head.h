// L1t. The smallest transformer with an induction head: two attention layers of
// one head, no MLP, no norm (arXiv 2511.08854).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/studies/repeated_marker.h"
#include "models/studies/toy_target.h"

namespace spar::studies {

struct InductionHeadOptions {
  RepeatedMarkerOptions data = {.batch_size = 256};
  int width = 16;  // even
  ToyTraining training = {.steps = 4000,
                          .rate = {.rate = 3e-3,
                                   .shape = models::RateShape::kCosine,
                                   .final_share = 0.02,
                                   .warmup = 0.1}};
  uint64_t seed = 0;
};

// h = E[token]; twice h += W_o softmax((W_q h + p)(W_k h + p)^T / sqrt(d)) W_v
// h over the positions up to the query's, p sinusoidal; W_u h at the last
// position. Modules are q, k and v of both layers; W_o is not decomposed.
class InductionHead final : public ToyTarget {
 public:
  struct Weights {
    at::Tensor embedding = {};             // [vocabulary, width]
    at::Tensor unembedding = {};           // [vocabulary, width]
    std::vector<at::Tensor> readers = {};  // q, k, v of each layer, [d, d]
    std::vector<at::Tensor> outputs = {};  // W_o of each layer, [d, d]
  };

  static std::unique_ptr<InductionHead> Train(
      const InductionHeadOptions& options);

  explicit InductionHead(Weights weights);

  models::Run SequencesOf(const at::Tensor& data) const override;
  // data: token ids, [sequences, length], long. Logits at the last position,
  // [sequences, vocabulary].
  at::Tensor Run(const at::Tensor& data, const Apply& apply) const override;

  // Share of the sequences whose most likely next token is `answers`.
  double Accuracy(const at::Tensor& data, const at::Tensor& answers) const;

 private:
  const Weights weights_;
};

}  // namespace spar::studies
