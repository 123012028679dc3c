#include "server/train_decoder.h"

#include <string>
#include <utility>
#include <vector>

#include <malloc.h>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/demo/corpus.h"
#include "models/demo/vocabulary.h"
#include "models/text/tokenizer.h"
#include "models/train/token_rows.h"

namespace spar {
namespace {

using models::TokenRows;

// A step asks for and frees the same large pieces again and again. Given back
// to the system each time, they would come anew as pages to be zeroed.
void KeepFreedMemory() {
  constexpr int kBytes = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kBytes);
  mallopt(M_TRIM_THRESHOLD, kBytes);
}

// Stretches of the demo corpus, each drawn from its index.
class DemoRows final : public TokenRows {
 public:
  DemoRows(int length, uint64_t seed)
      : vocabulary_(demo::CorpusWords()), length_(length), seed_(seed) {}

  std::vector<models::TokenId> Row(int64_t index) const override {
    demo::Random random(base::SplitMix64(base::SplitMix64(seed_) ^
                                         static_cast<uint64_t>(index)));
    return vocabulary_.Ids(demo::TrainingStretch(length_, random).words);
  }

  int vocab_size() const { return vocabulary_.size(); }

 private:
  const demo::Vocabulary vocabulary_;
  const int length_;
  const uint64_t seed_;
};

absl::StatusOr<std::unique_ptr<TokenRows>> RowsOf(
    const models::TrainConfig& config, const models::Snapshot& snapshot) {
  const models::DataConfig& data = config.data;
  const int vocab_size = snapshot.spec().vocab_size;
  if (data.kind == models::DataConfig::Kind::kDemo) {
    auto rows = std::make_unique<DemoRows>(data.sequence_length, config.seed);
    if (rows->vocab_size() != vocab_size) {
      return base::InvalidArgument(
          "BAD_DATA", "task_config.data",
          base::Cat("the demo corpus has ", rows->vocab_size(),
                    " words, and the model's vocabulary ", vocab_size));
    }
    return rows;
  }
  std::vector<models::TokenId> tokens;
  if (data.kind == models::DataConfig::Kind::kTokens) {
    ASSIGN_OR_RETURN(
        tokens, models::ReadTokenFile(data.path, data.token_bytes, vocab_size));
  } else {
    ASSIGN_OR_RETURN(const std::unique_ptr<models::Tokenizer> tokenizer,
                     models::Tokenizer::Open(config.model));
    ASSIGN_OR_RETURN(tokens, models::ReadTextFile(data.path, *tokenizer));
    for (const models::TokenId token : tokens) {
      if (token < vocab_size) continue;
      return base::InvalidArgument(
          "BAD_DATA", "task_config.path",
          base::Cat("the tokenizer gives token ", token,
                    ", outside the model's vocabulary of ", vocab_size));
    }
  }
  return models::ShuffledRows(std::move(tokens), data.sequence_length,
                              config.seed);
}

}  // namespace

absl::StatusOr<models::TrainingEnd> TrainDecoder(
    const models::TrainConfig& config,
    std::shared_ptr<const models::Snapshot> snapshot,
    const models::DecoderTrainingOptions& device,
    const models::RunTrainingOptions& options) {
  KeepFreedMemory();
  ASSIGN_OR_RETURN(std::unique_ptr<TokenRows> rows, RowsOf(config, *snapshot));
  ASSIGN_OR_RETURN(std::unique_ptr<models::Training> training,
                   models::MakeDecoderTraining(
                       std::move(snapshot), std::move(rows), config, device));
  return models::RunTraining(config, options, *training);
}

}  // namespace spar
