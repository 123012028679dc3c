#include "models/train/loss_json.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/decomposition/spec_names.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

constexpr size_t kMaxLosses = 64;
constexpr double kMaxCoefficient = 1e30;
constexpr IntRange kSamplesRange{.min = 1, .max = 1024};
constexpr IntRange kPgdStepsRange{.min = 1, .max = 10'000};
constexpr IntRange kWarmupRange{.min = 0, .max = 10'000};
constexpr IntRange kSourcesRange{.min = 1, .max = 1 << 20};

// Stands for the routing that an entry's own field says.
constexpr RoutingKind kConfigured = RoutingKind::kUniformSubset;

struct LossClass {
  std::string_view name = {};
  LossKind kind = LossKind::kFaithfulness;
  RoutingKind routing = RoutingKind::kAll;
};

constexpr LossClass kLossClasses[] = {
    {"FaithfulnessLoss", LossKind::kFaithfulness, RoutingKind::kAll},
    {"ImportanceMinimalityLoss", LossKind::kImportanceMinimality,
     RoutingKind::kAll},
    {"UnmaskedReconLoss", LossKind::kUnmaskedRecon, RoutingKind::kAll},
    {"CIMaskedReconLoss", LossKind::kCiMaskedRecon, RoutingKind::kAll},
    {"CIMaskedReconSubsetLoss", LossKind::kCiMaskedRecon, kConfigured},
    {"CIMaskedReconLayerwiseLoss", LossKind::kCiMaskedRecon,
     RoutingKind::kLayerwise},
    {"StochasticReconLoss", LossKind::kStochasticRecon, RoutingKind::kAll},
    {"StochasticReconSubsetLoss", LossKind::kStochasticRecon, kConfigured},
    {"StochasticReconLayerwiseLoss", LossKind::kStochasticRecon,
     RoutingKind::kLayerwise},
    {"PGDReconLoss", LossKind::kPgdRecon, RoutingKind::kAll},
    {"PGDReconSubsetLoss", LossKind::kPgdRecon, kConfigured},
    {"PGDReconLayerwiseLoss", LossKind::kPgdRecon, RoutingKind::kLayerwise},
    {"PersistentPGDReconLoss", LossKind::kPersistentPgdRecon,
     RoutingKind::kAll},
    {"PersistentPGDReconSubsetLoss", LossKind::kPersistentPgdRecon,
     kConfigured},
    {"StochasticHiddenActsReconLoss", LossKind::kStochasticHiddenActs,
     RoutingKind::kAll},
};

constexpr std::array<std::pair<std::string_view, RoutingKind>, 2>
    kRoutingNames = {{
        {"uniform_k_subset", RoutingKind::kUniformSubset},
        {"static_probability", RoutingKind::kStaticProbability},
    }};

constexpr std::array<std::pair<std::string_view, PgdConfig::Init>, 3>
    kInitNames = {{
        {"random", PgdConfig::Init::kRandom},
        {"ones", PgdConfig::Init::kOnes},
        {"zeroes", PgdConfig::Init::kZeroes},
    }};

constexpr std::array<std::pair<std::string_view, PgdConfig::Scope>, 2>
    kPgdScopeNames = {{
        {"shared_across_batch", PgdConfig::Scope::kSharedAcrossBatch},
        {"unique_per_datapoint", PgdConfig::Scope::kUniquePerDatapoint},
    }};

using PersistentScope = PersistentPgdConfig::Scope;
constexpr std::array<std::pair<std::string_view, PersistentScope>, 4>
    kPersistentScopeNames = {{
        {"single_source", PersistentScope::kSingleSource},
        {"broadcast_across_batch", PersistentScope::kBroadcastAcrossBatch},
        {"repeat_across_batch", PersistentScope::kRepeatAcrossBatch},
        {"per_batch_per_position", PersistentScope::kPerBatchPerPosition},
    }};

constexpr std::array<std::pair<std::string_view, RateShape>, 3> kShapeNames = {{
    {"constant", RateShape::kConstant},
    {"linear", RateShape::kLinear},
    {"cosine", RateShape::kCosine},
}};

constexpr std::array<std::pair<std::string_view, bool>, 2> kAscentNames = {{
    {"sign", false},
    {"adam", true},
}};

void ReadPower(ConfigReader& entry, LossConfig* loss) {
  Anneal& power = loss->power;
  power.from = ReadPositive(entry, "pnorm", 100);
  if (!entry.IsSet("beta")) entry.Refuse("beta", "is missing");
  loss->beta = ReadNonNegative(entry, "beta", 0, 1e6);
  loss->epsilon =
      entry.OptionalReal("eps", {.above = 0, .max = 1}).value_or(1e-12);
  if (entry.IsSet("p_anneal_final_p")) {
    power.to = ReadPositive(entry, "p_anneal_final_p", 100);
  }
  for (const char* field : {"p_anneal_start_frac", "p_anneal_end_frac"}) {
    if (entry.IsSet(field) && !power.to.has_value()) {
      entry.Refuse(field, "has no effect without p_anneal_final_p");
    }
  }
  // As in the reference library: without a start nothing is annealed.
  power.begin = ReadNonNegative(entry, "p_anneal_start_frac", 1, 1);
  power.end = ReadNonNegative(entry, "p_anneal_end_frac", 1, 1);
  if (power.to.has_value() && power.begin >= 1) {
    entry.Refuse("p_anneal_final_p",
                 "has no effect where p_anneal_start_frac is 1, its default");
  } else if (power.to.has_value() && power.end < power.begin) {
    entry.Refuse("p_anneal_end_frac", "is below p_anneal_start_frac");
  }
}

void ReadRouting(ConfigReader& entry, LossConfig* loss) {
  if (!entry.IsSet("routing")) return;
  loss->routing.kind = ReadName(entry, "routing.type", kRoutingNames);
  if (loss->routing.kind == RoutingKind::kStaticProbability) {
    loss->routing.probability = ReadPositive(entry, "routing.p", 1);
  }
}

PgdConfig ReadPgd(ConfigReader& entry) {
  PgdConfig pgd;
  pgd.init = ReadName(entry, "init", kInitNames);
  pgd.step_size = ReadPositive(entry, "step_size", 1e6);
  pgd.num_steps = entry.Int("n_steps", kPgdStepsRange);
  pgd.scope = ReadName(entry, "mask_scope", kPgdScopeNames);
  return pgd;
}

PersistentPgdConfig ReadPersistent(ConfigReader& entry) {
  PersistentPgdConfig pgd;
  pgd.adam = ReadName(entry, "optimizer.type", kAscentNames);
  pgd.rate = ReadSchedule(entry, "optimizer.lr_schedule");
  if (pgd.adam) {
    pgd.beta1 = ReadNonNegative(entry, "optimizer.beta1", 0.9, 0.999999);
    pgd.beta2 = ReadNonNegative(entry, "optimizer.beta2", 0.999, 0.9999999);
    pgd.epsilon = entry.OptionalReal("optimizer.eps", {.above = 0, .max = 1})
                      .value_or(1e-8);
  }
  pgd.scope = ReadName(entry, "scope.type", kPersistentScopeNames);
  if (pgd.scope == PersistentScope::kRepeatAcrossBatch) {
    pgd.num_sources = entry.Int("scope.n_sources", kSourcesRange);
  }
  pgd.sigmoid =
      entry.OptionalBool("use_sigmoid_parameterization").value_or(false);
  pgd.warmup_steps =
      entry.OptionalInt("n_warmup_steps", kWarmupRange).value_or(0);
  return pgd;
}

LossConfig ReadLoss(ConfigReader& entry, int samples) {
  LossConfig loss;
  loss.name = entry.Text("classname");
  loss.coefficient = ReadPositive(entry, "coeff", kMaxCoefficient);
  const LossClass* found = nullptr;
  std::string all;
  for (const LossClass& known : kLossClasses) {
    if (known.name == loss.name) found = &known;
    all += base::Cat(all.empty() ? "" : ", ", known.name);
  }
  if (found == nullptr) {
    entry.Refuse("classname", base::Cat("known are ", all));
    return loss;
  }
  loss.kind = found->kind;
  loss.routing.kind = found->routing;
  if (found->routing == kConfigured) ReadRouting(entry, &loss);
  switch (loss.kind) {
    case LossKind::kImportanceMinimality:
      ReadPower(entry, &loss);
      break;
    case LossKind::kStochasticRecon:
    case LossKind::kStochasticHiddenActs:
      loss.samples =
          entry.OptionalInt("n_mask_samples", kSamplesRange).value_or(samples);
      break;
    case LossKind::kPgdRecon:
      loss.pgd = ReadPgd(entry);
      break;
    case LossKind::kPersistentPgdRecon:
      loss.persistent = ReadPersistent(entry);
      break;
    case LossKind::kFaithfulness:
    case LossKind::kUnmaskedRecon:
    case LossKind::kCiMaskedRecon:
      break;
  }
  return loss;
}

}  // namespace

double ReadNonNegative(ConfigReader& config,
                       const std::string& field,
                       double otherwise,
                       double max) {
  const double value = config.OptionalReal(field, {.above = -1e300, .max = max})
                           .value_or(otherwise);
  if (value < 0) config.Refuse(field, "want 0 or more");
  return value;
}

double ReadPositive(ConfigReader& config,
                    const std::string& field,
                    double max) {
  const std::optional<double> value =
      config.OptionalReal(field, {.above = 0, .max = max});
  if (!value.has_value()) config.Refuse(field, "want a number above 0");
  return value.value_or(max);
}

Schedule ReadSchedule(ConfigReader& config, const std::string& field) {
  Schedule schedule;
  schedule.rate = ReadPositive(config, field + ".start_val", 1e6);
  if (config.IsSet(field + ".fn_type")) {
    schedule.shape = ReadName(config, field + ".fn_type", kShapeNames);
  }
  schedule.warmup = ReadNonNegative(config, field + ".warmup_pct", 0, 1);
  const std::string last = field + ".final_val_frac";
  schedule.final_share = ReadNonNegative(config, last, 1, 1e6);
  if (schedule.shape == RateShape::kConstant && schedule.final_share != 1) {
    config.Refuse(last, "has no effect on a constant schedule");
  }
  return schedule;
}

absl::StatusOr<std::vector<LossConfig>> ReadLosses(ConfigReader& config,
                                                   int samples) {
  std::vector<LossConfig> losses;
  std::vector<ConfigReader> entries =
      config.Objects("loss_metric_configs", kMaxLosses);
  for (ConfigReader& entry : entries) {
    losses.push_back(ReadLoss(entry, samples));
    RETURN_IF_ERROR(entry.Finish());
  }
  std::map<std::string, int> seen;
  for (LossConfig& loss : losses) {
    const int count = ++seen[loss.name];
    if (count > 1) loss.name += base::Cat(" ", count);
  }
  if (config.ok() && losses.empty()) {
    config.Refuse("loss_metric_configs", "want at least one loss");
  }
  return losses;
}

}  // namespace spar::models
