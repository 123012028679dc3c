// L1t. What runs of a batch say at every position, beside the model itself.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/blocks.h"

namespace spar::models {

// Sums over the positions of a batch, or of several.
struct ReadingSums {
  double kl = 0;             // KL(model || run), nats
  double cross_entropy = 0;  // of the next tokens there are, nats

  void Add(const ReadingSums& other) {
    kl += other.kl;
    cross_entropy += other.cross_entropy;
  }
};

// Reads streams piece by piece, so that of the vocabulary little is held at
// once; the model's own log-probabilities are kept where they are small, else
// made anew. Throws c10::Error.
class NextTokenReadout {
 public:
  // `stream`: the model's own behind its last layer, [tokens, width]. `batch`:
  // whole prompts. The decoder outlives this.
  NextTokenReadout(const Decoder& decoder,
                   const SequenceBatch& batch,
                   at::Tensor stream);

  int64_t num_positions() const { return stream_.size(0); }
  // Positions that have a next token.
  int64_t num_next_tokens() const { return num_next_tokens_; }

  ReadingSums ReadModel() const { return Read(stream_); }
  // A run's stream, [tokens, width].
  ReadingSums Read(const at::Tensor& stream) const;
  // The mean over the positions of KL(model || run): a number whose gradient in
  // the stream is right, once, in grad mode. `sums` is set.
  at::Tensor MeanDivergence(const at::Tensor& stream, ReadingSums& sums) const;

 private:
  struct Piece {
    at::Tensor kl = {};             // sum over its positions
    at::Tensor cross_entropy = {};  // likewise
  };
  Piece ReadPiece(const at::Tensor& stream, int64_t begin) const;
  at::Tensor ModelPiece(int64_t begin, int64_t count) const;

  const Decoder& decoder_;
  const at::Tensor stream_;
  at::Tensor next_tokens_ = {};  // [tokens, 1]; 0 where there is none
  at::Tensor has_next_ = {};     // [tokens], 1 or 0
  int64_t num_next_tokens_ = 0;
  at::Tensor model_ = {};  // log p, [tokens, vocab]; undefined: not kept
};

}  // namespace spar::models
