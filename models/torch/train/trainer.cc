#include "models/torch/train/trainer.h"

#include <chrono>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/errors.h"
#include "models/torch/train/importance_price.h"
#include "models/torch/train/leaky_slopes.h"

namespace spar::models {
namespace {

using Clock = std::chrono::steady_clock;

// Of binomial sampling: the lower function reads kScale z - kNoise u, u
// uniform.
constexpr double kNoisyScale = 1.05;
constexpr double kNoise = 0.05;
constexpr double kClipEpsilon = 1e-6;  // as torch's clip_grad_norm_
constexpr double kSecondsDecay = 0.95;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

AdamWOptions Clipped(const std::optional<double>& max_norm) {
  AdamWOptions options;
  options.norm_epsilon = kClipEpsilon;
  if (max_norm.has_value()) options.max_norm = *max_norm;
  return options;
}

bool IsRun(LossKind kind) {
  return kind != LossKind::kFaithfulness &&
         kind != LossKind::kImportanceMinimality;
}

// Whether the CI function reads the module's activations.
bool ReadsActivations(const CiSpec& ci, const DecomposedModule& module) {
  return ci.kind == CiKind::kMlp || module.site == ModuleSite::kEmbedding;
}

}  // namespace

// The CI function's answer for one batch.
struct Trainer::Logits {
  std::vector<at::Tensor> z = {};      // with their graph
  std::vector<at::Tensor> moved = {};  // what the lower function reads
  std::vector<at::Tensor> g = {};      // leaves
};

Trainer::Trainer(const TrainTarget& target,
                 const TrainData& data,
                 TrainConfig config,
                 DecompositionSpec spec)
    : target_(target),
      data_(data),
      config_(std::move(config)),
      spec_(std::move(spec)),
      factors_(target, spec_.modules, config_.seed),
      ci_(spec_, config_.seed, target.device()),
      component_adam_(factors_.leaves(), Clipped(config_.clip_components)),
      ci_adam_(ci_.leaves(), Clipped(config_.clip_ci)) {
  if (config_.warmup_steps > 0) {
    warmup_adam_ = std::make_unique<AdamW>(
        factors_.leaves(),
        AdamWOptions{.weight_decay = config_.warmup_weight_decay});
  }
  const DrawKey sources = KeyOf(config_.seed, DrawUse::kSources);
  const ReconSettings settings{.sampling = config_.sampling,
                               .use_delta = config_.use_delta,
                               .steps = config_.steps};
  for (size_t i = 0; i < config_.losses.size(); ++i) {
    if (!IsRun(config_.losses[i].kind)) continue;
    recon_[i] = std::make_unique<ReconTerm>(
        config_.losses[i], settings, spec_.modules, config_.batch_size,
        config_.data.sequence_length, sources.Of(i), target.device());
  }
  for (const DecomposedModule& module : spec_.modules) {
    fired_.push_back(at::zeros({module.num_components},
                               at::dtype(at::kFloat).device(target.device())));
  }
}

Trainer::Logits Trainer::LogitsOf(StepBatch& batch) const {
  const c10::AutoGradMode gradients(true);
  std::vector<at::Tensor> activations(factors_.size());
  for (size_t m = 0; m < factors_.size(); ++m) {
    if (ReadsActivations(spec_.ci, factors_.module(m))) {
      activations[m] = batch.CleanActivations(m);
    }
  }
  Logits logits;
  logits.z = ci_.Function()->Logits(batch.inputs(), activations);
  const DrawKey noise = KeyOf(config_.seed, DrawUse::kImportances).Of(step_);
  for (size_t m = 0; m < logits.z.size(); ++m) {
    at::Tensor moved = logits.z[m].detach();
    if (config_.sampling == MaskSampling::kBinomial) {
      const at::Tensor u =
          noise.Of(m).Uniform(moved.sizes().vec(), moved.device());
      moved = kNoisyScale * moved - kNoise * u;
    }
    logits.g.push_back(
        LowerSigmoid(config_.sigmoid, MaskSampling::kContinuous, moved)
            .requires_grad_(true));
    logits.moved.push_back(std::move(moved));
  }
  return logits;
}

bool Trainer::IsLeakyOnHost() const {
  return config_.sigmoid == CiSigmoid::kLeakyHard && target_.device().is_cpu();
}

TrainTerm Trainer::TermOf(size_t index, double value) const {
  const LossConfig& loss = config_.losses[index];
  return {.name = loss.name, .coefficient = loss.coefficient, .value = value};
}

void Trainer::AddRecon(StepBatch& batch,
                       const std::vector<at::Tensor>& g,
                       TrainProgress& progress) {
  const DrawKey key = KeyOf(config_.seed, DrawUse::kLosses).Of(step_);
  for (const auto& [index, term] : recon_) {
    const Clock::time_point start = Clock::now();
    const double value =
        term->Add(batch, g, step_, key.Of(index)).item<double>();
    progress.terms[index] = TermOf(index, value);
    progress.parts.push_back(
        {.name = config_.losses[index].name, .seconds = SecondsSince(start)});
  }
}

void Trainer::AddPrices(const Logits& logits,
                        std::vector<at::Tensor>& slopes,
                        TrainProgress& progress) const {
  for (size_t i = 0; i < config_.losses.size(); ++i) {
    const LossConfig& loss = config_.losses[i];
    if (loss.kind != LossKind::kImportanceMinimality) continue;
    const double power = AnnealedValue(loss.power, step_, config_.steps);
    double sum = 0;
    for (size_t m = 0; m < logits.z.size(); ++m) {
      if (IsLeakyOnHost()) {
        at::Tensor& slope = slopes[m];
        if (!slope.defined()) {
          slope = at::zeros(logits.z[m].sizes(), logits.g[m].options());
        }
        sum += AddLeakyPrice(logits.z[m],
                             {.power = power,
                              .beta = loss.beta,
                              .epsilon = loss.epsilon,
                              .coefficient = loss.coefficient},
                             slope);
        continue;
      }
      const at::Tensor h = UpperSigmoid(config_.sigmoid, logits.z[m]);
      // Swish falls below 0 near it; nothing is gained there.
      at::Tensor below;
      if (config_.sigmoid == CiSigmoid::kSwishHard) {
        below = h.lt(0);
        h.clamp_min_(0);
      }
      ImportancePrice price = PriceOf(h, power, loss.beta, loss.epsilon);
      if (below.defined()) price.slopes.masked_fill_(below, 0);
      sum += price.loss.item<double>();
      const at::Tensor slope = UpperSigmoidSlope(
          config_.sigmoid, logits.z[m], price.slopes.mul_(loss.coefficient));
      slopes[m] = slopes[m].defined() ? slopes[m].add_(slope) : slope;
    }
    progress.terms[i] = TermOf(i, sum);
  }
}

void Trainer::CountActivity(const std::vector<at::Tensor>& g,
                            TrainProgress& progress) {
  for (size_t m = 0; m < g.size(); ++m) {
    const at::Tensor alive = g[m].gt(config_.alive_threshold);
    const at::Tensor now = alive.any(0);
    fired_[m].masked_fill_(now, static_cast<double>(step_ + 1));
    const int64_t oldest = step_ + 1 - kAliveWindow;
    const double rows = static_cast<double>(alive.size(0));
    progress.modules.push_back(
        {.name = spec_.modules[m].name,
         .num_components = spec_.modules[m].num_components,
         .l0 = alive.sum().item<double>() / rows,
         .alive = static_cast<int>(
             fired_[m]
                 .gt(static_cast<double>(std::max<int64_t>(oldest, 0)))
                 .sum()
                 .item<int64_t>())});
  }
}

TrainProgress Trainer::Accumulate(const at::Tensor& data) {
  const c10::AutoGradMode no_gradients(false);
  TrainProgress progress;
  progress.terms.resize(config_.losses.size());
  Clock::time_point start = Clock::now();
  const auto lap = [&](const char* name) {
    progress.parts.push_back({.name = name, .seconds = SecondsSince(start)});
    start = Clock::now();
  };
  bool keep_outputs = false;
  for (const LossConfig& loss : config_.losses) {
    keep_outputs |= loss.kind == LossKind::kStochasticHiddenActs;
  }
  StepBatch batch(target_, factors_, data, config_.distance, keep_outputs);
  lap("target");
  const Logits logits = LogitsOf(batch);
  lap("importances");
  AddRecon(batch, logits.g, progress);
  start = Clock::now();
  std::vector<at::Tensor> slopes(factors_.size());
  for (size_t m = 0; m < factors_.size(); ++m) {
    const at::Tensor& upstream = logits.g[m].grad();
    if (!upstream.defined()) continue;
    const double scale =
        config_.sampling == MaskSampling::kBinomial ? kNoisyScale : 1;
    slopes[m] =
        IsLeakyOnHost()
            ? LowerLeakySlope(logits.moved[m], upstream, scale)
            : LowerSigmoidSlope(config_.sigmoid, MaskSampling::kContinuous,
                                logits.moved[m], upstream) *
                  scale;
  }
  AddPrices(logits, slopes, progress);
  lap("minimality");
  batch.Finish(logits.z, slopes);
  lap("importances back");
  for (size_t i = 0; i < config_.losses.size(); ++i) {
    if (config_.losses[i].kind != LossKind::kFaithfulness) continue;
    progress.terms[i] =
        TermOf(i, factors_.AddFaithfulness(config_.losses[i].coefficient));
  }
  lap("faithfulness");
  CountActivity(logits.g, progress);
  lap("activity");
  for (const TrainTerm& term : progress.terms) {
    progress.total += term.coefficient * term.value;
  }
  return progress;
}

TrainProgress Trainer::WarmUp() {
  TrainProgress progress;
  progress.warming_up = true;
  progress.steps = config_.warmup_steps;
  progress.rate = config_.warmup_rate;
  const double loss = factors_.AddFaithfulness(1);
  progress.terms = {
      {.name = "FaithfulnessLoss", .coefficient = 1, .value = loss}};
  progress.total = loss;
  return progress;
}

absl::Status Trainer::Finish(TrainProgress& progress) {
  if (!std::isfinite(progress.total)) {
    std::string terms;
    for (const TrainTerm& term : progress.terms) {
      terms += base::Cat(terms.empty() ? "" : ", ", term.name, " ", term.value);
    }
    return base::Error(
        absl::StatusCode::kInternal,
        base::Cat("a loss is no number at step ", step_, ": ", terms),
        {.reason = "TRAINING_DIVERGED",
         .metadata = {{"step", base::Cat(step_)}}});
  }
  if (progress.warming_up) {
    warmup_adam_->Step(progress.rate);
    progress.step = ++warmup_done_;
    if (warmup_done_ == config_.warmup_steps) warmup_adam_ = nullptr;
    return absl::OkStatus();
  }
  progress.rate = ScheduledValue(config_.rate, step_, config_.steps);
  progress.steps = config_.steps;
  component_adam_.Step(progress.rate);
  ci_adam_.Step(progress.rate);
  progress.components_norm = component_adam_.last_norm();
  progress.ci_norm = ci_adam_.last_norm();
  progress.step = ++step_;
  return absl::OkStatus();
}

absl::StatusOr<TrainProgress> Trainer::Next() {
  TrainProgress progress;
  const bool first = mean_seconds_ == 0;
  RETURN_IF_ERROR(failed_);
  failed_ = CatchTorch("training", [&] {
    const Clock::time_point start = Clock::now();
    progress =
        warmup_adam_ != nullptr ? WarmUp() : Accumulate(data_.Batch(step_));
    const Clock::time_point optimiser = Clock::now();
    RETURN_IF_ERROR(Finish(progress));
    progress.parts.push_back(
        {.name = "optimiser", .seconds = SecondsSince(optimiser)});
    progress.seconds = SecondsSince(start);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(failed_);
  if (!progress.warming_up) {
    mean_seconds_ = first ? progress.seconds
                          : kSecondsDecay * mean_seconds_ +
                                (1 - kSecondsDecay) * progress.seconds;
  }
  progress.eta_seconds =
      mean_seconds_ * static_cast<double>(config_.steps - step_);
  return progress;
}

std::vector<at::Tensor> Trainer::Importances(const at::Tensor& data) const {
  const c10::AutoGradMode no_gradients(false);
  StepBatch batch(target_, factors_, data, config_.distance,
                  /*keep_outputs=*/false);
  std::vector<at::Tensor> activations(factors_.size());
  for (size_t m = 0; m < factors_.size(); ++m) {
    if (ReadsActivations(spec_.ci, factors_.module(m))) {
      activations[m] = batch.CleanActivations(m).detach();
    }
  }
  std::vector<at::Tensor> g =
      ci_.Function()->Logits(batch.inputs(), activations);
  for (at::Tensor& z : g) {
    z = LowerSigmoid(config_.sigmoid, config_.sampling, z);
  }
  return g;
}

}  // namespace spar::models
