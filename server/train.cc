#include "server/train.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "base/log.h"
#include "base/splitmix64.h"
#include "base/status.h"
#include "models/demo/corpus.h"
#include "models/demo/vocabulary.h"
#include "models/snapshot/snapshot.h"
#include "models/text/tokenizer.h"
#include "models/torch/train/decoder_training.h"
#include "models/train/run_training.h"
#include "models/train/train_config_json.h"
#include "server/serve.h"

namespace spar {
namespace {

using models::TokenRows;

constexpr int kTrained = 0;
constexpr int kFailed = 1;
constexpr int kBadConfig = 2;
constexpr int kStopped = 3;

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

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::string DurationText(double seconds) {
  const auto whole = static_cast<long long>(seconds);
  char text[32];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600,
                whole / 60 % 60, whole % 60);
  return text;
}

// "step 1200/40000  total 0.83  FaithfulnessLoss 1.2e-06 ..  l0 31.2 of 410
// alive  0.21 s/step  2:14:08 left".
std::string ProgressText(const models::TrainProgress& progress) {
  std::string text =
      base::Cat(progress.warming_up ? "faithfulness " : "step ", progress.step,
                "/", progress.steps, "  total ", Short(progress.total));
  for (const models::TrainTerm& term : progress.terms) {
    text += base::Cat("  ", term.name, " ", Short(term.value));
  }
  double l0 = 0;
  int alive = 0;
  for (const models::TrainModule& module : progress.modules) {
    l0 += module.l0;
    alive += module.alive;
  }
  if (!progress.modules.empty()) {
    text += base::Cat("  l0 ", Short(l0), " of ", alive, " alive");
  }
  text += base::Cat("  ", Short(progress.seconds), " s/step");
  if (!progress.warming_up) {
    text += base::Cat("  ", DurationText(progress.eta_seconds), " left");
  }
  return text;
}

// One line that is rewritten on a screen; elsewhere a line for each log.
class Display {
 public:
  explicit Display(int every) : every_(every) {}

  void Show(const models::TrainProgress& progress) {
    const bool last = progress.step == progress.steps;
    if (screen_) {
      std::fprintf(stderr, "\r\033[K%s%s", ProgressText(progress).c_str(),
                   last ? "\n" : "");
    } else if (progress.step % every_ == 0 || last) {
      std::fprintf(stderr, "%s\n", ProgressText(progress).c_str());
    }
    std::fflush(stderr);
  }

 private:
  const int every_;
  const bool screen_ = isatty(STDERR_FILENO) != 0;
};

absl::StatusOr<models::TrainingEnd> Run(const TrainCommand& command) {
  ASSIGN_OR_RETURN(const models::TrainConfig config,
                   models::ReadTrainConfig(command.config));
  models::SnapshotOptions snapshot_options;
  snapshot_options.cache_dir = command.cache_dir;
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                   models::Snapshot::Open(config.model, snapshot_options));
  ASSIGN_OR_RETURN(std::unique_ptr<TokenRows> rows, RowsOf(config, *snapshot));
  ASSIGN_OR_RETURN(
      std::unique_ptr<models::Training> training,
      models::MakeDecoderTraining(
          std::move(snapshot), std::move(rows), config,
          {.device = command.device, .num_threads = command.threads}));
  Display display(config.log_every);
  models::RunTrainingOptions options;
  options.resume = command.resume;
  options.on_step = [&](const models::TrainProgress& progress) {
    display.Show(progress);
    return !StopSignalPending();
  };
  return models::RunTraining(config, options, *training);
}

}  // namespace

int Train(const TrainCommand& command) {
  const absl::StatusOr<models::TrainingEnd> end = Run(command);
  if (!end.ok()) {
    base::LogError(base::MessageOf(end.status()));
    const bool config = absl::IsInvalidArgument(end.status()) ||
                        absl::IsNotFound(end.status()) ||
                        absl::IsFailedPrecondition(end.status());
    return config ? kBadConfig : kFailed;
  }
  if (*end == models::TrainingEnd::kDone) return kTrained;
  base::LogInfo("stopped; --resume goes on from the checkpoint");
  return kStopped;
}

}  // namespace spar
