// L1t. Token sequences side by side in one ragged batch.
//
// All sequences' tokens lie one after another in one dimension, so that every
// weight is multiplied once for all of them; only attention looks at runs of
// sequences of equal length.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"
#include "models/torch/parameters.h"

namespace spar::models {

// A prompt as a batch computes it: the kept tokens and their position ids.
struct Sequence {
  std::vector<TokenId> tokens = {};
  std::vector<int32_t> ids = {};  // ascending; position of each token
  // Keys that only their own query sees; empty: none. How deletion is done
  // when positions are not compacted.
  std::vector<bool> hidden = {};

  int length() const { return static_cast<int>(tokens.size()); }
  friend auto operator<=>(const Sequence&, const Sequence&) = default;
};

// A whole prompt.
Sequence WholeSequence(std::span<const TokenId> tokens);

// The sequence of a row; the full prompt with hidden keys unless `compact`.
// kReindex always compacts.
Sequence MakeSequence(const Prompt& prompt,
                      const IndexSet& positions,
                      bool compact);

// Consecutive sequences of one length.
struct Run {
  int first = 0;  // sequence
  int count = 0;
  int length = 0;
  int64_t first_token = 0;

  int64_t tokens() const { return int64_t{count} * length; }
};

std::vector<Run> MakeRuns(const std::vector<int>& lengths);

// Sequences on a device. Not thread-safe.
class SequenceBatch {
 public:
  SequenceBatch(const Decoder& decoder, std::vector<Sequence> sequences);

  const std::vector<Sequence>& sequences() const { return sequences_; }
  const std::vector<Run>& runs() const { return runs_; }
  const at::Tensor& tokens() const { return tokens_; }  // [tokens]
  const at::Tensor& ids() const { return ids_; }        // [tokens]
  // e^(i angle) of every token, [tokens, rotary.dim / 2]; undefined without
  // rotary positions.
  const at::Tensor& rotation() const { return rotation_; }
  // The last token of every sequence, [sequences].
  const at::Tensor& last_tokens() const { return last_tokens_; }

  // Which keys each query of `sequence` sees under a sliding window (0: none),
  // bool [length, length]; undefined where it is plain causality.
  const at::Tensor& Visible(int sequence, int window);

 private:
  const Decoder& decoder_;
  const std::vector<Sequence> sequences_;
  std::vector<Run> runs_;
  at::Tensor tokens_, ids_, rotation_, last_tokens_;
  std::map<std::pair<int, int>, at::Tensor> visible_;  // (sequence, window)
};

}  // namespace spar::models
