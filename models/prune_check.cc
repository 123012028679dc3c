#include "models/prune_check.h"

#include <cstdint>
#include <string>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/option_check.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr double kMaxWeight = 1e6;

absl::Status CheckCount(size_t count, int limit, std::string_view field) {
  if (count >= 1 && count <= static_cast<size_t>(limit)) {
    return absl::OkStatus();
  }
  return OptionOutOfRange(field, Cat(count, " entries"), Cat("1 to ", limit));
}

absl::Status CheckPrompt(const ModelInfo& info,
                         const PrunePrompt& prompt,
                         const std::string& field) {
  RETURN_IF_ERROR(CheckTokens(info, prompt.tokens, field));
  if (prompt.position != kLastPosition) {
    RETURN_IF_ERROR(CheckPosition(prompt.position, prompt.tokens.size(),
                                  Cat(field, ".position")));
  }
  if (!prompt.target.has_value()) return absl::OkStatus();
  return CheckToken(*prompt.target, info.vocab_size, Cat(field, ".target_id"));
}

absl::Status CheckAdversary(const PruneAdversary& adversary) {
  RETURN_IF_ERROR(CheckAdversarySteps(adversary.steps, adversary.step_size,
                                      adversary.restarts));
  return CheckWithin(adversary.weight, 0.0, kMaxWeight, "adversary.weight");
}

absl::Status CheckNorm(const PruneNorm& norm) {
  RETURN_IF_ERROR(CheckWithin(norm.power, 0.01, 4.0, "norm.power"));
  if (norm.final_power.has_value()) {
    RETURN_IF_ERROR(
        CheckWithin(*norm.final_power, 0.01, 4.0, "norm.final_power"));
  }
  RETURN_IF_ERROR(
      CheckWithin(norm.anneal_begin, 0.0, 1.0, "norm.anneal_begin"));
  RETURN_IF_ERROR(
      CheckWithin(norm.anneal_end, norm.anneal_begin, 1.0, "norm.anneal_end"));
  RETURN_IF_ERROR(CheckWithin(norm.beta, 0.0, kMaxWeight, "norm.beta"));
  return CheckWithin(norm.epsilon, 1e-30, 1.0, "norm.epsilon");
}

absl::Status CheckRate(const PruneRate& rate) {
  RETURN_IF_ERROR(CheckWithin(rate.rate, 1e-8, 100.0, "learning_rate"));
  RETURN_IF_ERROR(CheckWithin(rate.final_share, 0.0, 1.0, "final_rate_share"));
  return CheckWithin(rate.warmup, 0.0, 1.0, "warmup_share");
}

}  // namespace

absl::Status CheckPrune(const ModelInfo& info, const PruneRequest& request) {
  if (request.decomposition.empty()) {
    return base::InvalidArgument(
        "NO_DECOMPOSITION", "decomposition",
        "pruning needs a decomposition, and the request names none", {});
  }
  RETURN_IF_ERROR(
      CheckCount(request.prompts.size(), kMaxPrunePrompts, "prompts"));
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    RETURN_IF_ERROR(
        CheckPrompt(info, request.prompts[i], Cat("prompts[", i, "]")));
  }
  RETURN_IF_ERROR(CheckCount(request.coefficients.size(), kMaxPruneCoefficients,
                             "coefficients"));
  for (size_t i = 0; i < request.coefficients.size(); ++i) {
    RETURN_IF_ERROR(CheckWithin(request.coefficients[i], 0.0, kMaxWeight,
                                Cat("coefficients[", i, "]")));
  }
  RETURN_IF_ERROR(CheckWithin(request.weight, 0.0, kMaxWeight, "weight"));
  if (request.adversary.has_value()) {
    RETURN_IF_ERROR(CheckAdversary(*request.adversary));
  } else if (request.weight == 0) {
    return OptionOutOfRange("weight", "0", "above 0 without an adversary");
  }
  RETURN_IF_ERROR(CheckNorm(request.norm));
  RETURN_IF_ERROR(CheckWithin(request.steps, 1, kMaxPruneSteps, "step_count"));
  RETURN_IF_ERROR(CheckRate(request.rate));
  RETURN_IF_ERROR(
      CheckWithin(request.alive_threshold, 0.0, 1.0, "alive_threshold"));
  RETURN_IF_ERROR(
      CheckWithin(request.rounding_threshold, 0.0, 1.0, "rounding_threshold"));
  RETURN_IF_ERROR(
      CheckWithin(request.stop.patience, 0, kMaxPruneSteps, "stop_patience"));
  return CheckWithin(request.stop.change, 0.0, 1.0, "stop_change");
}

}  // namespace spar::models
