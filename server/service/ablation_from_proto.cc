#include "server/service/ablation_from_proto.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/ablation_parts.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"

namespace spar::service {
namespace {

using base::Cat;
using models::MaskStrategy;

constexpr EnumValue<MaskStrategy> kStrategies[] = {
    {v1::MASK_STRATEGY_UNSPECIFIED, MaskStrategy::kTarget},
    {v1::MASK_STRATEGY_TARGET, MaskStrategy::kTarget},
    {v1::MASK_STRATEGY_UNMASKED, MaskStrategy::kUnmasked},
    {v1::MASK_STRATEGY_CAUSAL_IMPORTANCE, MaskStrategy::kCausalImportance},
    {v1::MASK_STRATEGY_ROUNDED, MaskStrategy::kRounded},
    {v1::MASK_STRATEGY_STOCHASTIC, MaskStrategy::kStochastic},
    {v1::MASK_STRATEGY_ADVERSARIAL, MaskStrategy::kAdversarial},
    {v1::MASK_STRATEGY_NONE, MaskStrategy::kNone},
};
constexpr EnumValue<models::SweepKind> kSweeps[] = {
    {v1::SWEEP_UNSPECIFIED, models::SweepKind::kEach},
    {v1::SWEEP_EACH, models::SweepKind::kEach},
    {v1::SWEEP_CUMULATIVE, models::SweepKind::kCumulative},
};

// Ranges are written out; each entry is checked here, where its place in the
// request is known.
absl::StatusOr<std::vector<models::Intervention>> InterventionsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Intervention>& from,
    const models::DecompositionSpec* decomposition,
    const ServedModel& model,
    size_t num_positions,
    std::string_view field) {
  std::vector<models::Intervention> interventions;
  for (int i = 0; i < from.size(); ++i) {
    const v1::Intervention& entry = from[i];
    const std::string path = Cat(field, "[", i, "]");
    ASSIGN_OR_RETURN(const std::vector<models::Intervention> parts,
                     models::ParseParts(model.explainer->units(), decomposition,
                                        entry.part(), Cat(path, ".part")));
    models::Intervention change;
    change.factor = entry.factor();
    change.offset = entry.offset();
    RETURN_IF_ERROR(models::CheckMask(change.factor, Cat(path, ".factor")));
    RETURN_IF_ERROR(models::CheckMask(change.offset, Cat(path, ".offset")));
    if (entry.has_position()) {
      change.position = entry.position();
      RETURN_IF_ERROR(models::CheckPosition(change.position, num_positions,
                                            Cat(path, ".position")));
    }
    if (interventions.size() + parts.size() > models::kMaxInterventions) {
      return OutOfRange("OPTION_OUT_OF_RANGE", field,
                        Cat("more than ", models::kMaxInterventions, " parts"),
                        Cat("at most ", models::kMaxInterventions));
    }
    for (const models::Intervention& part : parts) {
      change.kind = part.kind;
      change.site = part.site;
      change.index = part.index;
      interventions.push_back(change);
    }
  }
  return interventions;
}

absl::StatusOr<int> AblationTopK(const v1::AblateRequest& request,
                                 size_t num_positions) {
  const int top_k = request.top_k() == 0 ? kDefaultTopK : request.top_k();
  const size_t positions = request.every_position() ? num_positions : 1;
  if (top_k > 0 && top_k <= kMaxTopK &&
      positions * static_cast<size_t>(top_k) <= kMaxTokenScores) {
    return top_k;
  }
  return base::InvalidArgument(
      "TOP_K_OUT_OF_RANGE", "top_k",
      Cat("top_k is ", request.top_k(), " of ", positions,
          " positions: want 0 to ", kMaxTopK, ", and at most ", kMaxTokenScores,
          " tokens in all"),
      {{"top_k", Cat(request.top_k())}, {"positions", Cat(positions)}});
}

}  // namespace

absl::StatusOr<models::AblationRequest> AblationFromProto(
    const v1::AblateRequest& request,
    const models::DecompositionSpec* decomposition,
    const ServedModel& model) {
  models::AblationRequest to;
  ASSIGN_OR_RETURN(to.tokens, TokensFromProto(request.prompt(), model));
  to.decomposition = request.decomposition();
  ASSIGN_OR_RETURN(to.strategy,
                   EnumFromProto(kStrategies, request.strategy(), "strategy"));
  to.threshold = request.threshold();
  if (request.sample_count() != 0) to.samples = request.sample_count();
  const v1::AdversaryOptions& adversary = request.adversary();
  if (adversary.step_count() != 0) to.adversary.steps = adversary.step_count();
  if (adversary.step_size() != 0) {
    to.adversary.step_size = adversary.step_size();
  }
  if (adversary.restart_count() != 0) {
    to.adversary.restarts = adversary.restart_count();
  }
  to.adversary.shared_positions = adversary.shared_positions();
  to.seed = request.seed();
  if (request.has_delta()) to.delta = request.delta();
  ASSIGN_OR_RETURN(
      to.interventions,
      InterventionsFromProto(request.interventions(), decomposition, model,
                             to.tokens.size(), "interventions"));
  ASSIGN_OR_RETURN(to.swept,
                   InterventionsFromProto(request.swept(), decomposition, model,
                                          to.tokens.size(), "swept"));
  ASSIGN_OR_RETURN(to.sweep, EnumFromProto(kSweeps, request.sweep(), "sweep"));
  if (request.has_generation()) {
    to.generation.max_tokens = request.generation().max_token_count();
    to.generation.temperature = request.generation().temperature();
    if (to.generation.max_tokens == 0) {
      return OutOfRange("OPTION_OUT_OF_RANGE", "generation.max_token_count",
                        "0", Cat("1 to ", models::kMaxGeneratedTokens));
    }
  }
  for (const v1::TokenEdit& edit : request.edits()) {
    to.edits.push_back({.position = edit.position(), .token = edit.token_id()});
  }
  if (request.has_target_text()) {
    ASSIGN_OR_RETURN(to.target, TokenFromText(request.target_text(),
                                              *model.tokenizer, "target_text"));
  } else if (request.has_target_id()) {
    to.target = request.target_id();
  }
  to.every_position = request.every_position();
  ASSIGN_OR_RETURN(to.top_k, AblationTopK(request, to.tokens.size()));
  RETURN_IF_ERROR(models::CheckAblation(
      model.explainer->info(), model.explainer->units(), decomposition, to));
  return to;
}

}  // namespace spar::service
