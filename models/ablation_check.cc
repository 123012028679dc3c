#include "models/ablation_check.h"

#include <cmath>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/option_check.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr double kMaxMask = 1e6;

absl::Status CheckPart(int32_t value,
                       int64_t count,
                       std::string_view field,
                       std::string_view what) {
  if (value >= 0 && value < count) return absl::OkStatus();
  return base::InvalidArgument(
      "UNKNOWN_PART", field,
      Cat(field, " is ", value, ": there are ", count, " ", what),
      {{"value", Cat(value)}, {"count", Cat(count)}});
}

absl::Status NoDecomposition(std::string_view field, std::string_view what) {
  return base::InvalidArgument(
      "NO_DECOMPOSITION", field,
      Cat(what, " needs a decomposition, and the request names none"), {});
}

absl::Status CheckIntervention(const UnitTable& units,
                               const DecompositionSpec* decomposition,
                               const AblationRequest& request,
                               const Intervention& intervention,
                               const std::string& field) {
  const std::string site = Cat(field, ".site"), index = Cat(field, ".index");
  switch (intervention.kind) {
    case InterventionKind::kSubcomponent:
    case InterventionKind::kDelta: {
      if (decomposition == nullptr) {
        return NoDecomposition(field, "a subcomponent or a Delta");
      }
      const auto& modules = decomposition->modules;
      RETURN_IF_ERROR(CheckPart(intervention.site,
                                static_cast<int64_t>(modules.size()), site,
                                "decomposed modules"));
      const bool delta = intervention.kind == InterventionKind::kDelta;
      RETURN_IF_ERROR(
          CheckPart(intervention.index,
                    delta ? 1 : modules[intervention.site].num_components,
                    index, delta ? "Delta of a module" : "subcomponents"));
      break;
    }
    case InterventionKind::kHead:
    case InterventionKind::kNeuron: {
      RETURN_IF_ERROR(
          CheckPart(intervention.site, units.num_layers(), site, "layers"));
      const LayerUnits& layer = units.layer(intervention.site);
      const bool head = intervention.kind == InterventionKind::kHead;
      RETURN_IF_ERROR(CheckPart(intervention.index,
                                head ? layer.num_heads : layer.num_neurons,
                                index, head ? "heads" : "neurons"));
      break;
    }
  }
  if (intervention.position != kEveryPosition) {
    RETURN_IF_ERROR(CheckPosition(intervention.position, request.tokens.size(),
                                  Cat(field, ".position")));
  }
  RETURN_IF_ERROR(CheckMask(intervention.factor, Cat(field, ".factor")));
  return CheckMask(intervention.offset, Cat(field, ".offset"));
}

absl::Status CheckInterventions(const UnitTable& units,
                                const DecompositionSpec* decomposition,
                                const AblationRequest& request,
                                const std::vector<Intervention>& some,
                                std::string_view field) {
  if (some.size() > kMaxInterventions) {
    return OptionOutOfRange(field, Cat(some.size(), " entries"),
                            Cat("at most ", kMaxInterventions));
  }
  for (size_t i = 0; i < some.size(); ++i) {
    RETURN_IF_ERROR(CheckIntervention(units, decomposition, request, some[i],
                                      Cat(field, "[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckMaskChanges(const AblationRequest& request) {
  const size_t length = request.tokens.size();
  const int64_t always = MaskChanges(request.interventions, length);
  const int64_t swept = request.sweep == SweepKind::kCumulative
                            ? MaskChanges(request.swept, length)
                            : 0;
  if (always + swept <= kMaxMaskChanges) return absl::OkStatus();
  return OptionOutOfRange(swept > always ? "swept" : "interventions",
                          Cat(always + swept, " masks of one run, by position"),
                          Cat("at most ", kMaxMaskChanges));
}

absl::Status CheckGeneration(const ModelInfo& info,
                             const AblationRequest& request) {
  const GenerationOptions& generation = request.generation;
  RETURN_IF_ERROR(CheckWithin(generation.max_tokens, 0, kMaxGeneratedTokens,
                              "generation.max_token_count"));
  RETURN_IF_ERROR(CheckWithin(generation.temperature, 0.0, 100.0,
                              "generation.temperature"));
  if (generation.max_tokens == 0) return absl::OkStatus();
  const size_t length =
      request.tokens.size() + static_cast<size_t>(generation.max_tokens) - 1;
  if (length > static_cast<size_t>(info.context_length)) {
    return base::InvalidArgument(
        "PROMPT_TOO_LONG", "generation.max_token_count",
        Cat("prompt and generation are ", length, " tokens: the model reads ",
            info.context_length),
        {{"token_count", Cat(length)},
         {"context_length", Cat(info.context_length)}});
  }
  if (!request.swept.empty()) {
    return OptionOutOfRange("swept", Cat(request.swept.size(), " entries"),
                            "none in a generation");
  }
  if (request.samples != 1) {
    return OptionOutOfRange("sample_count", Cat(request.samples),
                            "1 in a generation");
  }
  if (request.every_position) {
    return OptionOutOfRange("every_position", "true", "false in a generation");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAdversarySteps(int steps, double step_size, int restarts) {
  RETURN_IF_ERROR(
      CheckWithin(steps, 1, kMaxAdversarySteps, "adversary.step_count"));
  RETURN_IF_ERROR(CheckWithin(step_size, 1e-6, 1.0, "adversary.step_size"));
  return CheckWithin(restarts, 1, kMaxAdversaryRestarts,
                     "adversary.restart_count");
}

absl::Status CheckPosition(int32_t position,
                           size_t length,
                           std::string_view field) {
  if (position >= 0 && static_cast<size_t>(position) < length) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(
      "POSITION_OUT_OF_RANGE", field,
      Cat(field, " is ", position, ": the prompt has ", length, " positions"),
      {{"position", Cat(position)}, {"position_count", Cat(length)}});
}

int64_t MaskChanges(const std::vector<Intervention>& interventions,
                    size_t length) {
  int64_t changes = 0;
  for (const Intervention& intervention : interventions) {
    changes += intervention.position == kEveryPosition
                   ? static_cast<int64_t>(length)
                   : 1;
  }
  return changes;
}

absl::Status CheckMask(double value, std::string_view field) {
  return CheckWithin(value, -kMaxMask, kMaxMask, field);
}

absl::Status CheckAblation(const ModelInfo& info,
                           const UnitTable& units,
                           const DecompositionSpec* decomposition,
                           const AblationRequest& request) {
  RETURN_IF_ERROR(CheckTokens(info, request.tokens, "prompt"));
  for (size_t i = 0; i < request.edits.size(); ++i) {
    const std::string field = Cat("edits[", i, "]");
    RETURN_IF_ERROR(CheckPosition(request.edits[i].position,
                                  request.tokens.size(),
                                  Cat(field, ".position")));
    RETURN_IF_ERROR(CheckToken(request.edits[i].token, info.vocab_size,
                               Cat(field, ".token_id")));
  }
  if (decomposition == nullptr && request.strategy != MaskStrategy::kTarget) {
    return NoDecomposition("strategy", "this strategy");
  }
  if (decomposition == nullptr && request.delta.has_value()) {
    return NoDecomposition("delta", "Delta");
  }
  RETURN_IF_ERROR(CheckWithin(request.threshold, 0.0, 1.0, "threshold"));
  RETURN_IF_ERROR(
      CheckWithin(request.samples, 1, kMaxAblationSamples, "sample_count"));
  if (request.samples > 1 && request.strategy != MaskStrategy::kStochastic) {
    return OptionOutOfRange("sample_count", Cat(request.samples),
                            "1, but for stochastic masks");
  }
  const AdversaryOptions& adversary = request.adversary;
  RETURN_IF_ERROR(CheckAdversarySteps(adversary.steps, adversary.step_size,
                                      adversary.restarts));
  if (request.delta.has_value()) {
    RETURN_IF_ERROR(CheckMask(*request.delta, "delta"));
  }
  RETURN_IF_ERROR(CheckInterventions(units, decomposition, request,
                                     request.interventions, "interventions"));
  RETURN_IF_ERROR(CheckInterventions(units, decomposition, request,
                                     request.swept, "swept"));
  RETURN_IF_ERROR(CheckMaskChanges(request));
  RETURN_IF_ERROR(CheckGeneration(info, request));
  if (request.target.has_value()) {
    RETURN_IF_ERROR(CheckToken(*request.target, info.vocab_size, "target_id"));
  }
  return CheckWithin(request.top_k, 0, kMaxAblationTopK, "top_k");
}

}  // namespace spar::models
