#include "models/torch/train/decoder_training.h"

#include <utility>
#include <vector>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/device.h"
#include "models/torch/errors.h"
#include "models/torch/train/decoder_target.h"
#include "models/torch/train/trainer.h"
#include "models/train/train_modules.h"

namespace spar::models {
namespace {

class RowData final : public TrainData {
 public:
  RowData(std::unique_ptr<TokenRows> rows, int batch_size, int length)
      : rows_(std::move(rows)), batch_size_(batch_size), length_(length) {}

  at::Tensor Batch(int64_t step) const override {
    at::Tensor ids = at::empty({batch_size_, length_}, at::dtype(at::kLong));
    int64_t* id = ids.mutable_data_ptr<int64_t>();
    for (int i = 0; i < batch_size_; ++i) {
      const std::vector<TokenId> row = rows_->Row(step * batch_size_ + i);
      INVARIANT(row.size() == static_cast<size_t>(length_));
      for (const TokenId token : row) *id++ = token;
    }
    return ids;
  }

 private:
  const std::unique_ptr<TokenRows> rows_;
  const int batch_size_, length_;
};

class DecoderTraining final : public Training {
 public:
  DecoderTraining(std::shared_ptr<const Snapshot> snapshot,
                  std::unique_ptr<TokenRows> rows,
                  const TrainConfig& config,
                  const DecompositionSpec& spec,
                  at::Device device)
      : snapshot_(std::move(snapshot)),
        decoder_(LoadDecoder(*snapshot_, device, at::kFloat)),
        target_(decoder_, spec.modules),
        data_(std::move(rows), config.batch_size, config.data.sequence_length),
        trainer_(target_, data_, config, spec) {}

  bool done() const override { return trainer_.done(); }
  int64_t step() const override { return trainer_.step(); }
  absl::StatusOr<TrainProgress> Next() override { return trainer_.Next(); }
  absl::Status Save(const std::filesystem::path& folder) const override {
    return trainer_.Save(folder);
  }
  absl::Status Restore(const std::filesystem::path& folder) override {
    return trainer_.Restore(folder);
  }
  absl::Status Export(const std::filesystem::path& folder) const override {
    return trainer_.Export(folder);
  }

 private:
  const std::shared_ptr<const Snapshot> snapshot_;
  const Decoder decoder_;
  const DecoderTarget target_;
  const RowData data_;
  Trainer trainer_;
};

// Bytes that a step cannot do without: weights with gradients and two moments;
// for each token and subcomponent its activation, importance, mask, and the
// slopes of these; logits of the target and of a run; attention patterns.
double LeastBytes(const TrainConfig& config,
                  const DecoderSpec& decoder,
                  const DecompositionSpec& spec) {
  double weights = 0;
  for (const auto& [name, shape] : DecompositionTensors(spec)) {
    double size = 1;
    for (const int64_t width : shape) size *= static_cast<double>(width);
    weights += size;
  }
  const double length = config.data.sequence_length;
  const double tokens = config.batch_size * length;
  const double components = static_cast<double>(spec.num_components());
  return sizeof(float) * (4 * weights + 6 * tokens * components +
                          2 * tokens * decoder.vocab_size +
                          tokens * length * decoder.num_heads);
}

absl::Status CheckMemory(const TrainConfig& config,
                         const DecoderSpec& decoder,
                         const DecompositionSpec& spec) {
  const double needed = LeastBytes(config, decoder, spec);
  const auto available = static_cast<double>(AvailableHostBytes());
  if (needed <= available) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      base::Cat("a step needs at least ", needed, " bytes, and there are ",
                available, ": ask for fewer rows or subcomponents"),
      {.reason = "TRAINING_TOO_LARGE",
       .metadata = {{"bytes", base::Cat(needed)},
                    {"max_bytes", base::Cat(available)}}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> MakeDecoderTraining(
    std::shared_ptr<const Snapshot> snapshot,
    std::unique_ptr<TokenRows> rows,
    const TrainConfig& config,
    const DecoderTrainingOptions& options) {
  ASSIGN_OR_RETURN(const at::Device device, ParseDevice(options.device));
  const DecoderSpec& decoder = snapshot->spec();
  if (config.data.sequence_length > decoder.context_length) {
    return base::InvalidArgument(
        "BAD_TRAIN_CONFIG", "task_config.max_seq_len",
        base::Cat("field 'task_config.max_seq_len': is ",
                  config.data.sequence_length, ", and the model takes ",
                  decoder.context_length));
  }
  ASSIGN_OR_RETURN(
      const DecompositionSpec spec,
      SpecOf(config, DecomposableModules(decoder), snapshot->weights_digest()));
  if (device.is_cpu()) {
    RETURN_IF_ERROR(CheckMemory(config, decoder, spec));
  }
  std::unique_ptr<Training> training;
  RETURN_IF_ERROR(CatchTorch("preparing a training", [&] {
    if (options.num_threads > 0) at::set_num_threads(options.num_threads);
    training = std::make_unique<DecoderTraining>(
        std::move(snapshot), std::move(rows), config, spec, device);
    return absl::OkStatus();
  }));
  return training;
}

}  // namespace spar::models
