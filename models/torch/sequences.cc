#include "models/torch/sequences.h"

#include "models/torch/aten.h"
#include "models/torch/rotary.h"

namespace spar::models {
namespace {

template <typename T>
at::Tensor ToDevice(const std::vector<T>& values, const Decoder& decoder) {
  return at::tensor(values, at::dtype(at::kLong)).to(decoder.device);
}

at::Tensor MakeVisible(const Sequence& sequence, int window) {
  const int length = sequence.length();
  at::Tensor visible = at::zeros({length, length}, at::dtype(at::kBool));
  bool* const cells = visible.mutable_data_ptr<bool>();
  for (int q = 0; q < length; ++q) {
    for (int k = 0; k <= q; ++k) {
      const bool hidden =
          !sequence.hidden.empty() && sequence.hidden[k] && k != q;
      const bool far =
          window > 0 && sequence.ids[k] <= sequence.ids[q] - window;
      cells[q * length + k] = !hidden && !far;
    }
  }
  return visible;
}

}  // namespace

Sequence WholeSequence(std::span<const TokenId> tokens) {
  Sequence sequence{.tokens = {tokens.begin(), tokens.end()}};
  for (int i = 0; i < sequence.length(); ++i) sequence.ids.push_back(i);
  return sequence;
}

Sequence MakeSequence(const Prompt& prompt,
                      const IndexSet& positions,
                      bool compact) {
  Sequence sequence;
  const bool reindex = prompt.position_mode == PositionMode::kReindex;
  const int length = static_cast<int>(prompt.tokens.size());
  for (int position = 0; position < length; ++position) {
    const bool kept = positions.Contains(position);
    if (!kept && (compact || reindex)) continue;
    if (!kept && sequence.hidden.empty()) sequence.hidden.resize(length);
    if (!kept) sequence.hidden[position] = true;
    sequence.ids.push_back(reindex ? sequence.length() : position);
    sequence.tokens.push_back(prompt.tokens[position]);
  }
  return sequence;
}

std::vector<Run> MakeRuns(const std::vector<int>& lengths) {
  std::vector<Run> runs;
  int64_t token = 0;
  for (int i = 0; i < static_cast<int>(lengths.size()); ++i) {
    if (runs.empty() || runs.back().length != lengths[i]) {
      runs.push_back({.first = i, .length = lengths[i], .first_token = token});
    }
    ++runs.back().count;
    token += lengths[i];
  }
  return runs;
}

SequenceBatch::SequenceBatch(const Decoder& decoder,
                             std::vector<Sequence> sequences)
    : decoder_(decoder), sequences_(std::move(sequences)) {
  std::vector<int64_t> tokens, ids, last_tokens;
  std::vector<int> lengths;
  for (const Sequence& sequence : sequences_) {
    tokens.insert(tokens.end(), sequence.tokens.begin(), sequence.tokens.end());
    ids.insert(ids.end(), sequence.ids.begin(), sequence.ids.end());
    lengths.push_back(sequence.length());
    last_tokens.push_back(static_cast<int64_t>(tokens.size()) - 1);
  }
  runs_ = MakeRuns(lengths);
  tokens_ = ToDevice(tokens, decoder);
  ids_ = ToDevice(ids, decoder);
  last_tokens_ = ToDevice(last_tokens, decoder);
  if (decoder.spec.positions == PositionKind::kRotary) {
    const at::Tensor angles = RotaryAngles(decoder.spec.rotary, ids_);
    rotation_ =
        at::complex(angles.cos().to(at::kFloat), angles.sin().to(at::kFloat));
  }
}

const at::Tensor& SequenceBatch::Visible(int index, int window) {
  const auto [entry, is_new] = visible_.try_emplace({index, window});
  if (!is_new) return entry->second;
  const Sequence& sequence = sequences_[index];
  const bool reaches =
      window > 0 && sequence.ids.back() - sequence.ids.front() >= window;
  if (reaches || !sequence.hidden.empty()) {
    entry->second = MakeVisible(sequence, window).to(decoder_.device);
  }
  return entry->second;
}

}  // namespace spar::models
