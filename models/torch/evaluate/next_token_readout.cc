#include "models/torch/evaluate/next_token_readout.h"

#include <algorithm>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

constexpr int64_t kPieceFloats = int64_t{8} << 20;
constexpr int64_t kKeptFloats = int64_t{64} << 20;

}  // namespace

NextTokenReadout::NextTokenReadout(const Decoder& decoder,
                                   const SequenceBatch& batch,
                                   at::Tensor stream)
    : decoder_(decoder), stream_(std::move(stream)) {
  std::vector<int64_t> next;
  std::vector<float> has_next;
  for (const Sequence& sequence : batch.sequences()) {
    for (int t = 0; t < sequence.length(); ++t) {
      const bool has = t + 1 < sequence.length();
      next.push_back(has ? sequence.tokens[t + 1] : 0);
      has_next.push_back(has ? 1.0f : 0.0f);
      num_next_tokens_ += has ? 1 : 0;
    }
  }
  next_tokens_ =
      at::tensor(next, at::dtype(at::kLong)).to(decoder.device).unsqueeze(1);
  has_next_ = at::tensor(has_next).to(decoder.device);
  if (num_positions() * decoder.spec.vocab_size <= kKeptFloats) {
    model_ = Logits(decoder, stream_).log_softmax(1);
  }
}

at::Tensor NextTokenReadout::ModelPiece(int64_t begin, int64_t count) const {
  if (model_.defined()) return model_.narrow(0, begin, count);
  const c10::AutoGradMode no_gradients(false);
  return Logits(decoder_, stream_.narrow(0, begin, count)).log_softmax(1);
}

NextTokenReadout::Piece NextTokenReadout::ReadPiece(const at::Tensor& stream,
                                                    int64_t begin) const {
  const int64_t count = stream.size(0);
  const at::Tensor run = Logits(decoder_, stream).log_softmax(1);
  const at::Tensor model = ModelPiece(begin, count);
  const at::Tensor next =
      run.gather(1, next_tokens_.narrow(0, begin, count)).squeeze(1);
  return {.kl = (model.exp() * (model - run)).sum(1).sum(at::kDouble),
          .cross_entropy =
              -(next * has_next_.narrow(0, begin, count)).sum(at::kDouble)};
}

ReadingSums NextTokenReadout::Read(const at::Tensor& stream) const {
  const c10::AutoGradMode no_gradients(false);
  ReadingSums sums;
  const int64_t size = std::max<int64_t>(
      1, kPieceFloats / std::max(1, decoder_.spec.vocab_size));
  for (int64_t begin = 0; begin < num_positions(); begin += size) {
    const int64_t count = std::min(size, num_positions() - begin);
    const Piece piece = ReadPiece(stream.narrow(0, begin, count), begin);
    sums.kl += piece.kl.item<double>();
    sums.cross_entropy += piece.cross_entropy.item<double>();
  }
  return sums;
}

at::Tensor NextTokenReadout::MeanDivergence(const at::Tensor& stream,
                                            ReadingSums& sums) const {
  if (!at::GradMode::is_enabled() || !stream.requires_grad()) {
    sums = Read(stream);
    return at::tensor(sums.kl / static_cast<double>(num_positions()),
                      at::dtype(at::kDouble));
  }
  // The slope of each piece is taken at once, and the pieces' graphs go; what
  // is returned is linear in the stream with that slope.
  sums = {};
  at::Tensor leaf = stream.detach();
  leaf.requires_grad_(true);
  const int64_t size = std::max<int64_t>(
      1, kPieceFloats / std::max(1, decoder_.spec.vocab_size));
  for (int64_t begin = 0; begin < num_positions(); begin += size) {
    const int64_t count = std::min(size, num_positions() - begin);
    const Piece piece = ReadPiece(leaf.narrow(0, begin, count), begin);
    sums.kl += piece.kl.item<double>();
    sums.cross_entropy += piece.cross_entropy.item<double>();
    (piece.kl / static_cast<double>(num_positions())).backward();
  }
  const at::Tensor linear = (stream * leaf.grad()).sum();
  return linear - linear.detach() +
         sums.kl / static_cast<double>(num_positions());
}

}  // namespace spar::models
