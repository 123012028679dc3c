// L1. The toy model's arithmetic: see Note [The fake model].
#include "models/fake_backend.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/ablation_check.h"
#include "models/digest.h"
#include "models/fake_ablation.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

constexpr int kStreamWidth = 8;

using Vector = std::array<double, kStreamWidth>;

// splitmix64: the same numbers on every platform.
class Stream {
 public:
  explicit Stream(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    const uint64_t bits = base::SplitMix64(state_);
    state_ += base::kSplitMix64Step;
    return bits;
  }
  // Uniform in (-scale, scale).
  double Symmetric(double scale) {
    return scale * (static_cast<double>(Next() >> 11) * 0x1.0p-52 - 1.0);
  }
  Vector SymmetricVector(double scale) {
    Vector vector{};
    for (double& value : vector) value = Symmetric(scale);
    return vector;
  }

 private:
  uint64_t state_;
};

double Dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (int i = 0; i < kStreamWidth; ++i) sum += a[i] * b[i];
  return sum;
}

void AddScaled(const Vector& v, double scale, Vector& sum) {
  for (int i = 0; i < kStreamWidth; ++i) sum[i] += scale * v[i];
}

std::vector<LayerUnits> MakeLayers(const FakeBackendOptions& options) {
  std::vector<LayerUnits> layers;
  for (int layer = 0; layer < options.num_layers; ++layer) {
    LayerUnits units{};
    units.num_heads = options.num_heads;
    units.num_neurons = options.num_neurons;
    units.attention_module = base::Cat("fake.", layer, ".attn");
    units.mlp_module = base::Cat("fake.", layer, ".mlp");
    units.parameters_per_head = 3 * kStreamWidth + 1;
    units.parameters_per_neuron = 2 * kStreamWidth;
    layers.push_back(std::move(units));
  }
  return layers;
}

}  // namespace

struct FakeBackend::Weights {
  struct UnitWeights {
    Vector key = {};   // heads: token score
    double slope = 0;  // heads: score lost per position of distance
    Vector in = {};    // heads: value; neurons: w
    Vector out = {};   // o or d
  };
  std::vector<Vector> embedding = {};    // [token]
  std::vector<Vector> unembedding = {};  // [token]
  std::vector<UnitWeights> units = {};   // [unit]
};

struct FakeBackend::Forward {
  std::vector<double> own = {};    // [unit] the value a unit has here
  std::vector<double> slope = {};  // [unit] of tanh; heads 0
  std::vector<double> logits = {};
};

FakeBackend::FakeBackend(FakeBackendOptions options)
    : options_(std::move(options)),
      units_(MakeLayers(options_)),
      weights_(std::make_unique<Weights>()) {
  Stream stream(options_.seed);
  for (int token = 0; token < options_.vocab_size; ++token) {
    weights_->embedding.push_back(stream.SymmetricVector(1));
    weights_->unembedding.push_back(stream.SymmetricVector(1));
  }
  for (int id = 0; id < units_.size(); ++id) {
    Weights::UnitWeights unit{};
    unit.key = stream.SymmetricVector(3);
    unit.slope = 0.3 + stream.Symmetric(0.3);
    unit.in = stream.SymmetricVector(1.5);
    unit.out = stream.SymmetricVector(1);
    weights_->units.push_back(unit);
  }

  info_.family = "fake";
  info_.config_json =
      base::Cat("{\"context_length\":", options_.context_length,
                ",\"model_type\":\"fake\",\"seed\":", options_.seed, "}");
  info_.weights_digest =
      Sha256Hex(base::Cat("fake weights ", options_.seed, " ", units_.size(),
                          " ", options_.vocab_size, " ", options_.interaction));
  info_.digest = Sha256Hex(info_.weights_digest + info_.config_json);
  info_.num_layers = options_.num_layers;
  info_.width = kStreamWidth;
  info_.num_heads = options_.num_heads;
  info_.num_neurons = options_.num_neurons;
  info_.vocab_size = options_.vocab_size;
  info_.context_length = options_.context_length;
  info_.num_parameters = int64_t{2} * options_.vocab_size * kStreamWidth;
  for (int id = 0; id < units_.size(); ++id) {
    info_.num_parameters += units_.Parameters(id);
  }
  info_.dtype = "float32";
  info_.device = "cpu";
  calibration_.t0_seconds = 1e-6;
  calibration_.t1_seconds = 1e-6;
  calibration_.tokens = 16;
  calibration_.noise_floor = options_.noise_floor;
  MeasureMeans();
  MakeDecompositions();
}

FakeBackend::~FakeBackend() = default;

void FakeBackend::MeasureMeans() {
  if (options_.reference_prompts.empty()) return;
  const std::vector<float> everything(units_.size(), 1.0f);
  std::vector<double> sums(units_.size(), 0.0);
  for (const std::vector<TokenId>& tokens : options_.reference_prompts) {
    Prompt prompt{};
    prompt.tokens = tokens;
    const int length = static_cast<int>(tokens.size());
    const Forward forward = Run(prompt, everything, IndexSet::All(length));
    for (int id = 0; id < units_.size(); ++id) sums[id] += forward.own[id];
  }
  const double count = static_cast<double>(options_.reference_prompts.size());
  for (double& sum : sums) sum /= count;
  means_ = std::move(sums);
}

std::vector<double> FakeBackend::HeadValues(const Prompt& prompt,
                                            const IndexSet& positions) const {
  const std::vector<int32_t> kept = positions.Members();
  const int num_kept = static_cast<int>(kept.size());
  std::vector<double> values(units_.size(), 0.0);
  std::vector<double> scores(num_kept);
  for (int id = 0; id < units_.size(); ++id) {
    if (units_.At(id).kind != UnitKind::kHead) continue;
    const Weights::UnitWeights& unit = weights_->units[id];
    double sum = 0;
    for (int i = 0; i < num_kept; ++i) {
      const int distance = prompt.position_mode == PositionMode::kKeepIds
                               ? kept.back() - kept[i]
                               : num_kept - 1 - i;
      const Vector& embedding = weights_->embedding[prompt.tokens[kept[i]]];
      scores[i] = std::exp(Dot(unit.key, embedding) - unit.slope * distance);
      sum += scores[i];
    }
    for (int i = 0; i < num_kept; ++i) {
      const Vector& embedding = weights_->embedding[prompt.tokens[kept[i]]];
      values[id] += scores[i] / sum * Dot(unit.in, embedding);
    }
  }
  return values;
}

FakeBackend::Forward FakeBackend::Run(const Prompt& prompt,
                                      const std::vector<float>& masks,
                                      const IndexSet& positions) const {
  const bool mean = prompt.reference == ReferenceKind::kMean;
  Forward forward{};
  forward.own = HeadValues(prompt, positions);
  forward.slope.assign(units_.size(), 0.0);
  const Vector start = weights_->embedding[prompt.tokens.back()];
  Vector x = start;
  // Ids go layer by layer, heads before neurons: the order of the arithmetic.
  // Neurons of one layer read the same stream.
  Vector read = x;
  UnitKind last = UnitKind::kNeuron;
  for (int id = 0; id < units_.size(); ++id) {
    const Weights::UnitWeights& unit = weights_->units[id];
    const UnitKind kind = units_.At(id).kind;
    if (kind == UnitKind::kNeuron) {
      if (last == UnitKind::kHead) read = x;
      const double pre =
          Dot(unit.in, start) +
          options_.interaction * (Dot(unit.in, read) - Dot(unit.in, start));
      forward.own[id] = std::tanh(pre);
      forward.slope[id] = 1 - forward.own[id] * forward.own[id];
    }
    last = kind;
    const double reference = mean ? means_[id] : 0.0;
    const double value =
        masks[id] * forward.own[id] + (1.0 - masks[id]) * reference;
    AddScaled(unit.out, value, x);
  }
  forward.logits.resize(options_.vocab_size);
  for (int token = 0; token < options_.vocab_size; ++token) {
    forward.logits[token] = Dot(weights_->unembedding[token], x);
  }
  return forward;
}

RowResult FakeBackend::Read(const Prompt& prompt,
                            const Forward& forward) const {
  RowResult result{};
  const auto best =
      std::max_element(forward.logits.begin(), forward.logits.end());
  const double largest = *best;
  result.target = prompt.target == kOwnPrediction
                      ? static_cast<TokenId>(best - forward.logits.begin())
                      : prompt.target;
  int runner_up = result.target == 0 ? 1 : 0;
  for (int token = 0; token < options_.vocab_size; ++token) {
    if (token != result.target &&
        forward.logits[token] > forward.logits[runner_up]) {
      runner_up = token;
    }
  }
  double sum = 0;
  for (const double logit : forward.logits) sum += std::exp(logit - largest);
  const double target = forward.logits[result.target];
  result.margin = static_cast<float>(target - forward.logits[runner_up]);
  result.target_logit = static_cast<float>(target);
  result.runner_up_logit = static_cast<float>(forward.logits[runner_up]);
  result.runner_up = runner_up;
  result.target_log_probability =
      static_cast<float>(target - largest - std::log(sum));
  return result;
}

std::vector<float> FakeBackend::MasksOf(const Row& row) const {
  std::vector<float> masks(units_.size(), 0.0f);
  for (const int32_t id : row.units.Members()) masks[id] = 1.0f;
  return masks;
}

absl::StatusOr<std::vector<RowResult>> FakeBackend::Evaluate(
    std::span<const Row> rows) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  for (const Row& row : rows) prompts.push_back(row.prompt);
  {
    base::MutexLock lock(mu_);
    ++counters_.batches;
    counters_.rows += static_cast<int64_t>(rows.size());
  }
  RETURN_IF_ERROR(Enter(prompts));
  for (const Row& row : rows) RETURN_IF_ERROR(CheckRow(row));
  std::vector<RowResult> results;
  Stream noise(rows.size() + 77);
  for (const Row& row : rows) {
    const Forward forward = Run(*row.prompt, MasksOf(row), row.positions);
    RowResult result = Read(*row.prompt, forward);
    if (rows.size() > 1 && options_.batch_noise > 0) {
      result.margin +=
          static_cast<float>(noise.Symmetric(options_.batch_noise));
    }
    results.push_back(result);
  }
  return results;
}

absl::StatusOr<std::vector<RowGradient>> FakeBackend::Gradients(
    std::span<const GradientRow> rows) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  for (const GradientRow& row : rows) prompts.push_back(row.prompt);
  {
    base::MutexLock lock(mu_);
    ++counters_.gradient_batches;
    counters_.gradient_rows += static_cast<int64_t>(rows.size());
  }
  RETURN_IF_ERROR(Enter(prompts));
  for (const GradientRow& row : rows) RETURN_IF_ERROR(CheckGradientRow(row));
  std::vector<RowGradient> results;
  for (const GradientRow& row : rows) {
    const Prompt& prompt = *row.prompt;
    const Forward forward = Run(prompt, row.masks, row.positions);
    RowGradient result{};
    result.margin = Read(prompt, forward).margin;
    double largest = -1e300;
    for (int token = 0; token < options_.vocab_size; ++token) {
      if (token == prompt.target) continue;
      largest = std::max(largest, forward.logits[token]);
    }
    double sum = 0;
    for (int token = 0; token < options_.vocab_size; ++token) {
      if (token == prompt.target) continue;
      sum += std::exp(forward.logits[token] - largest);
    }
    result.smooth_margin = static_cast<float>(forward.logits[prompt.target] -
                                              largest - std::log(sum));
    // to_x: d(smooth margin)/d(stream), from the end back to each unit.
    Vector to_x{};
    for (int token = 0; token < options_.vocab_size; ++token) {
      const double weight =
          token == prompt.target
              ? 1.0
              : -std::exp(forward.logits[token] - largest) / sum;
      AddScaled(weights_->unembedding[token], weight, to_x);
    }
    result.gradient.resize(units_.size());
    Vector to_read = to_x;
    for (int id = units_.size() - 1; id >= 0; --id) {
      const Weights::UnitWeights& unit = weights_->units[id];
      const bool is_neuron = units_.At(id).kind == UnitKind::kNeuron;
      if (is_neuron && id + 1 < units_.size() &&
          units_.At(id + 1).kind == UnitKind::kHead) {
        to_x = to_read;
      }
      if (!is_neuron) to_x = to_read;
      const double along = Dot(to_x, unit.out);
      const double reference =
          prompt.reference == ReferenceKind::kMean ? means_[id] : 0.0;
      result.gradient[id] =
          static_cast<float>(along * (forward.own[id] - reference));
      if (is_neuron) {
        AddScaled(
            unit.in,
            row.masks[id] * along * forward.slope[id] * options_.interaction,
            to_read);
      }
    }
    results.push_back(std::move(result));
  }
  return results;
}

absl::StatusOr<double> FakeBackend::EvaluateExactly(const Row& row) {
  RETURN_IF_ERROR(CheckRow(row));
  RETURN_IF_ERROR(CheckPrompt(row.prompt.get(), row.positions,
                              /*own_prediction=*/false));
  {
    base::MutexLock lock(mu_);
    ++counters_.exact_rows;
  }
  const Forward forward = Run(*row.prompt, MasksOf(row), row.positions);
  double runner_up = -1e300;
  for (int token = 0; token < options_.vocab_size; ++token) {
    if (token == row.prompt->target) continue;
    runner_up = std::max(runner_up, forward.logits[token]);
  }
  return forward.logits[row.prompt->target] - runner_up;
}

absl::StatusOr<std::vector<PositionPrediction>> FakeBackend::Predict(
    std::span<const TokenId> tokens, int top_k) {
  const std::vector<float> everything(units_.size(), 1.0f);
  std::vector<PositionPrediction> predictions;
  Prompt whole{};
  whole.tokens.assign(tokens.begin(), tokens.end());
  const int length = static_cast<int>(tokens.size());
  RETURN_IF_ERROR(CheckPrompt(&whole, IndexSet::All(std::max(length, 1)),
                              /*own_prediction=*/false));
  for (int end = 1; end <= length; ++end) {
    Prompt prompt{};
    prompt.tokens.assign(tokens.begin(), tokens.begin() + end);
    const Forward forward = Run(prompt, everything, IndexSet::All(end));
    const double largest =
        *std::max_element(forward.logits.begin(), forward.logits.end());
    double sum = 0;
    for (const double logit : forward.logits) sum += std::exp(logit - largest);
    PositionPrediction prediction{};
    for (int token = 0; token < options_.vocab_size; ++token) {
      TokenScore score{};
      score.token = token;
      score.logit = static_cast<float>(forward.logits[token]);
      score.log_probability =
          static_cast<float>(forward.logits[token] - largest - std::log(sum));
      prediction.top.push_back(score);
    }
    std::stable_sort(prediction.top.begin(), prediction.top.end(),
                     [](const TokenScore& a, const TokenScore& b) {
                       return a.logit > b.logit;
                     });
    if (end < length) {
      prediction.next_token_log_probability = static_cast<float>(
          forward.logits[tokens[end]] - largest - std::log(sum));
    }
    prediction.top.resize(
        std::clamp(top_k, 0, static_cast<int>(prediction.top.size())));
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

absl::StatusOr<std::unique_ptr<Ablation>> FakeBackend::Ablate(
    const AblationRequest& request) {
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  RETURN_IF_ERROR(CheckAblation(info_, units_, nullptr, request));
  return MakeFakeAblation(
      units_, request,
      [this](std::span<const TokenId> tokens, const std::vector<float>& masks) {
        Prompt prompt{};
        prompt.tokens.assign(tokens.begin(), tokens.end());
        return Run(prompt, masks,
                   IndexSet::All(static_cast<int>(tokens.size())))
            .logits;
      });
}

}  // namespace spar::models
