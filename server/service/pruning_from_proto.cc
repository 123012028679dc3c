#include "server/service/pruning_from_proto.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/prune_check.h"
#include "models/row_check.h"
#include "server/service/decomposition_from_proto.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"
#include "server/service/pruning_words.h"

namespace spar::service {
namespace {

using base::Cat;

// `to` in place of `from` at the front of the field.
absl::Status WithFieldMoved(const absl::Status& status,
                            std::string_view from,
                            std::string_view to) {
  std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  if (!detail.has_value() || !detail->field.starts_with(from)) return status;
  detail->field = Cat(to, std::string_view(detail->field).substr(from.size()));
  return base::Error(status.code(), base::MessageOf(status), *detail);
}

absl::StatusOr<models::PrunePrompt> PromptFromProto(
    const v1::PrunePrompt& from,
    const ServedDecomposition& decomposition,
    const std::string& field) {
  const ServedModel& model = *decomposition.model;
  models::PrunePrompt to;
  ASSIGN_OR_RETURN(
      to.tokens, TokensFromProto(from.prompt(), model, Cat(field, ".prompt")));
  RETURN_IF_ERROR(CheckPromptSize(to.tokens.size(), decomposition.info->spec,
                                  Cat(field, ".prompt")));
  const auto last = static_cast<int32_t>(to.tokens.size()) - 1;
  to.position = from.has_position() ? from.position() : last;
  RETURN_IF_ERROR(models::CheckPosition(to.position, to.tokens.size(),
                                        Cat(field, ".position")));
  const int vocab_size = model.explainer->info().vocab_size;
  if (from.target_case() == v1::PrunePrompt::kTargetText) {
    ASSIGN_OR_RETURN(to.target,
                     TokenFromText(from.target_text(), *model.tokenizer,
                                   Cat(field, ".target_text")));
    RETURN_IF_ERROR(
        models::CheckToken(*to.target, vocab_size, Cat(field, ".target_text")));
  } else if (from.target_case() == v1::PrunePrompt::kTargetId) {
    to.target = from.target_id();
    RETURN_IF_ERROR(
        models::CheckToken(*to.target, vocab_size, Cat(field, ".target_id")));
  }
  return to;
}

absl::StatusOr<std::vector<models::PrunePrompt>> PromptsFromProto(
    const v1::PruneRequest& request, const ServedDecomposition& decomposition) {
  std::vector<models::PrunePrompt> prompts;
  int64_t num_tokens = 0;
  for (int i = 0; i < request.prompts_size(); ++i) {
    const std::string field = Cat("prompts[", i, "]");
    ASSIGN_OR_RETURN(models::PrunePrompt prompt,
                     PromptFromProto(request.prompts(i), decomposition, field));
    num_tokens += std::ssize(prompt.tokens);
    prompts.push_back(std::move(prompt));
    if (num_tokens <= kMaxPruneTokens) continue;
    return TooManyPrompts(num_tokens, "tokens", kMaxPruneTokens);
  }
  return prompts;
}

void SetNorm(const v1::PruneNorm& from, models::PruneNorm* to) {
  if (from.has_power()) to->power = from.power();
  if (from.has_final_power()) to->final_power = from.final_power();
  to->anneal_begin = from.anneal_begin();
  if (from.has_anneal_end()) to->anneal_end = from.anneal_end();
  to->beta = from.beta();
  to->per_position = !from.by_sum();
}

models::PruneAdversary AdversaryFromProto(const v1::PruneAdversary& from) {
  models::PruneAdversary to;
  if (from.step_count() != 0) to.steps = from.step_count();
  if (from.has_step_size()) to.step_size = from.step_size();
  if (from.restart_count() != 0) to.restarts = from.restart_count();
  if (from.has_weight()) to.weight = from.weight();
  return to;
}

absl::Status SetOptions(const v1::PruneOptions& from,
                        models::PruneRequest* to) {
  ASSIGN_OR_RETURN(to->loss,
                   EnumFromProto(kPruneLosses, from.loss(), "options.loss"));
  ASSIGN_OR_RETURN(to->masks,
                   EnumFromProto(kPruneMasks, from.masks(), "options.masks"));
  ASSIGN_OR_RETURN(to->start,
                   EnumFromProto(kPruneStarts, from.start(), "options.start"));
  ASSIGN_OR_RETURN(to->rate.shape, EnumFromProto(kRateShapes, from.rate_shape(),
                                                 "options.rate_shape"));
  if (from.has_weight()) to->weight = from.weight();
  if (from.has_adversary()) {
    to->adversary = AdversaryFromProto(from.adversary());
  }
  SetNorm(from.norm(), &to->norm);
  if (from.step_count() != 0) to->steps = from.step_count();
  if (from.has_learning_rate()) to->rate.rate = from.learning_rate();
  to->rate.final_share = from.final_rate_share();
  to->rate.warmup = from.warmup_share();
  to->alive_threshold = from.alive_threshold();
  to->rounding_threshold = from.rounding_threshold();
  to->stop.patience = from.stop_patience();
  if (from.has_stop_change()) to->stop.change = from.stop_change();
  to->seed = from.seed();
  return absl::OkStatus();
}

// CheckPrune names the fields of the options alone.
absl::Status Check(const models::ModelInfo& info,
                   const models::PruneRequest& request) {
  const absl::Status status = models::CheckPrune(info, request);
  const std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  if (!detail.has_value()) return status;
  for (const std::string_view own :
       {"decomposition", "prompts", "coefficients"}) {
    if (detail->field.starts_with(own)) return status;
  }
  return WithFieldMoved(status, "", "options.");
}

}  // namespace

absl::StatusOr<ServedDecomposition> PrunedDecomposition(
    const v1::PruneRequest& request, const ServedModel& model) {
  if (request.decomposition().empty()) {
    return base::InvalidArgument(
        "NO_DECOMPOSITION", "decomposition",
        "pruning needs a decomposition, and the request names none");
  }
  return DecompositionOf(model, request.decomposition(), "decomposition");
}

absl::StatusOr<models::PruneRequest> PruneFromProto(
    const v1::PruneRequest& request, const ServedDecomposition& decomposition) {
  models::PruneRequest to;
  to.decomposition = request.decomposition();
  if (request.prompts_size() > models::kMaxPrunePrompts) {
    return TooManyPrompts(request.prompts_size(), "prompts",
                          models::kMaxPrunePrompts);
  }
  ASSIGN_OR_RETURN(to.prompts, PromptsFromProto(request, decomposition));
  if (!request.coefficients().empty()) {
    to.coefficients.assign(request.coefficients().begin(),
                           request.coefficients().end());
  }
  RETURN_IF_ERROR(SetOptions(request.options(), &to));
  RETURN_IF_ERROR(Check(decomposition.model->explainer->info(), to));
  return to;
}

absl::StatusOr<search::CrystallizeOptions> PrunedSearchFromProto(
    const v1::PruneRequest& request) {
  v1::CrystallizeOptions from = request.crystallize();
  if (!from.decomposition().empty()) {
    return base::InvalidArgument(
        "DECOMPOSITION_NOT_WANTED", "crystallize.decomposition",
        Cat("crystallize.decomposition is '", from.decomposition(),
            "': want none, the request names it"),
        {{"decomposition", from.decomposition()}});
  }
  RETURN_IF_ERROR(CheckField(from.initial_unit_ids().empty(),
                             "crystallize.initial_unit_ids",
                             from.initial_unit_ids_size(), "none"));
  if (from.mode() == v1::MODE_UNSPECIFIED) from.set_mode(v1::MODE_SUFFICIENT);
  if (from.unit_scheme() == v1::UNIT_SCHEME_UNSPECIFIED) {
    from.set_unit_scheme(v1::UNIT_SCHEME_NODE_AND_DELTA);
  }
  absl::StatusOr<search::CrystallizeOptions> options = OptionsFromProto(from);
  if (!options.ok()) return WithCrystallizeField(options.status());
  RETURN_IF_ERROR(CheckField(
      models::SpaceOf(options->scheme) == models::UnitSpace::kNodes,
      "crystallize.unit_scheme", models::UnitSchemeName(options->scheme),
      "node or node+delta"));
  options->decomposition = request.decomposition();
  return options;
}

absl::Status WithCrystallizeField(const absl::Status& status) {
  return WithFieldMoved(status, "options.", "crystallize.");
}

}  // namespace spar::service
