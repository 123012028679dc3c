#include "server/service/attribution_from_proto.h"

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/row_check.h"
#include "server/service/attribution_words.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"

namespace spar::service {
namespace {

constexpr std::string_view kNotNegative = "0 or more";
constexpr std::string_view kShare = "[0, 1)";

// What nodes and logits may name.
struct Bounds {
  int num_tokens = 0;
  int num_layers = 0;
  int vocab_size = 0;
};

absl::Status CheckPosition(int position,
                           const Bounds& bounds,
                           std::string_view field) {
  return CheckField(position >= 0 && position < bounds.num_tokens, field,
                    position, base::Cat("[0, ", bounds.num_tokens, ")"));
}

absl::StatusOr<models::NodeRef> NodeFromProto(
    const v1::AttributionNodeRef& from,
    const Bounds& bounds,
    std::string_view field) {
  models::NodeRef node;
  const std::string part = base::Cat(field, ".part");
  ASSIGN_OR_RETURN(node.part, EnumFromProto(kSiteParts, from.part(), part));
  RETURN_IF_ERROR(CheckField(node.part != models::SitePart::kEmbedding &&
                                 node.part != models::SitePart::kLogits,
                             part, v1::AttributionPart_Name(from.part()),
                             "a matrix, HEADS or NEURONS"));
  RETURN_IF_ERROR(
      CheckField(from.layer() >= 0 && from.layer() < bounds.num_layers,
                 base::Cat(field, ".layer"), from.layer(),
                 base::Cat("[0, ", bounds.num_layers, ")")));
  RETURN_IF_ERROR(
      CheckPosition(from.position(), bounds, base::Cat(field, ".position")));
  RETURN_IF_ERROR(CheckField(from.index() >= 0, base::Cat(field, ".index"),
                             from.index(), kNotNegative));
  node.layer = from.layer();
  node.position = from.position();
  node.index = from.index();
  return node;
}

absl::StatusOr<models::LogitRef> LogitFromProto(
    const v1::AttributionLogitRef& from,
    const ServedModel& model,
    const Bounds& bounds,
    std::string_view field) {
  models::LogitRef logit;
  logit.position =
      from.has_position() ? from.position() : bounds.num_tokens - 1;
  RETURN_IF_ERROR(
      CheckPosition(logit.position, bounds, base::Cat(field, ".position")));
  switch (from.token_case()) {
    case v1::AttributionLogitRef::kTokenId:
      logit.token = from.token_id();
      RETURN_IF_ERROR(models::CheckToken(logit.token, bounds.vocab_size,
                                         base::Cat(field, ".token_id")));
      return logit;
    case v1::AttributionLogitRef::kTokenText: {
      const std::string path = base::Cat(field, ".token_text");
      ASSIGN_OR_RETURN(logit.token, TokenFromText(from.token_text(),
                                                  *model.tokenizer, path));
      RETURN_IF_ERROR(models::CheckToken(logit.token, bounds.vocab_size, path));
      return logit;
    }
    case v1::AttributionLogitRef::TOKEN_NOT_SET:
      break;
  }
  return OutOfRange("OPTION_OUT_OF_RANGE", base::Cat(field, ".token"),
                    "not set", "a token id or text");
}

absl::Status CheckCount(int count, int limit, std::string_view field) {
  if (count <= limit) return absl::OkStatus();
  return base::InvalidArgument(
      "TOO_MANY_NODES", field,
      base::Cat(field, " has ", count, " entries: want at most ", limit),
      {{"count", base::Cat(count)}, {"limit", base::Cat(limit)}});
}

absl::Status NodesFromProto(const v1::AttributeOptions& from,
                            const Bounds& bounds,
                            models::AttributionRequest* to) {
  RETURN_IF_ERROR(CheckCount(from.nodes_size(), kMaxNodeRefs, "options.nodes"));
  for (int i = 0; i < from.nodes_size(); ++i) {
    ASSIGN_OR_RETURN(const models::NodeRef node,
                     NodeFromProto(from.nodes(i), bounds,
                                   base::Cat("options.nodes[", i, "]")));
    to->nodes.push_back(node);
  }
  const v1::AttributionNodeRule& rule = from.node_rule();
  to->rule.min_importance = rule.min_importance();
  RETURN_IF_ERROR(CheckField(
      rule.min_importance() >= 0 && rule.min_importance() < 1,
      "options.node_rule.min_importance", rule.min_importance(), kShare));
  to->rule.max_subcomponents = rule.max_subcomponent_count();
  RETURN_IF_ERROR(CheckField(to->rule.max_subcomponents >= 0,
                             "options.node_rule.max_subcomponent_count",
                             to->rule.max_subcomponents, kNotNegative));
  if (rule.has_max_neuron_count()) {
    to->rule.max_neurons = rule.max_neuron_count();
  }
  return CheckField(to->rule.max_neurons >= 1,
                    "options.node_rule.max_neuron_count", to->rule.max_neurons,
                    "1 or more");
}

absl::Status LogitsFromProto(const v1::AttributeOptions& from,
                             const ServedModel& model,
                             const Bounds& bounds,
                             models::AttributionRequest* to) {
  RETURN_IF_ERROR(
      CheckCount(from.logits_size(), kMaxLogitRefs, "options.logits"));
  for (int i = 0; i < from.logits_size(); ++i) {
    ASSIGN_OR_RETURN(const models::LogitRef logit,
                     LogitFromProto(from.logits(i), model, bounds,
                                    base::Cat("options.logits[", i, "]")));
    to->logits.push_back(logit);
  }
  const v1::AttributionLogitRule& rule = from.logit_rule();
  for (int i = 0; i < rule.positions_size(); ++i) {
    const std::string field =
        base::Cat("options.logit_rule.positions[", i, "]");
    RETURN_IF_ERROR(CheckPosition(rule.positions(i), bounds, field));
    RETURN_IF_ERROR(
        CheckField(i == 0 || rule.positions(i) > rule.positions(i - 1), field,
                   rule.positions(i), "positions that ascend"));
    to->logit_rule.positions.push_back(rule.positions(i));
  }
  if (rule.has_min_probability()) {
    to->logit_rule.min_probability = rule.min_probability();
  }
  RETURN_IF_ERROR(CheckField(
      to->logit_rule.min_probability >= 0 && to->logit_rule.min_probability < 1,
      "options.logit_rule.min_probability", to->logit_rule.min_probability,
      kShare));
  if (rule.has_max_count()) to->logit_rule.max_per_position = rule.max_count();
  return CheckField(to->logit_rule.max_per_position >= 1 &&
                        to->logit_rule.max_per_position <= kMaxLogitRefs,
                    "options.logit_rule.max_count",
                    to->logit_rule.max_per_position,
                    base::Cat("[1, ", kMaxLogitRefs, "]"));
}

absl::Status EdgesFromProto(const v1::AttributionEdgeRule& from,
                            models::EdgeFilter* to) {
  to->min_magnitude = from.min_magnitude();
  RETURN_IF_ERROR(CheckField(
      to->min_magnitude >= 0 && std::isfinite(to->min_magnitude),
      "options.edge_rule.min_magnitude", to->min_magnitude, kNotNegative));
  to->max_per_target = from.max_per_target();
  to->without_zeros = !from.with_zeros();
  return CheckField(to->max_per_target >= 0, "options.edge_rule.max_per_target",
                    to->max_per_target, kNotNegative);
}

absl::Status RunFromProto(const v1::AttributeOptions& from,
                          models::AttributionRequest* to) {
  ASSIGN_OR_RETURN(to->norm,
                   EnumFromProto(kNormGradients, from.norm(), "options.norm"));
  to->importance_factor = from.importance_factor();
  ASSIGN_OR_RETURN(to->run,
                   EnumFromProto(kAttributedRuns, from.run(), "options.run"));
  if (from.has_delta_mask()) to->delta_mask = from.delta_mask();
  return CheckField(to->delta_mask >= 0 && to->delta_mask <= 1,
                    "options.delta_mask", to->delta_mask, "[0, 1]");
}

absl::Status QueryFromProto(const v1::AttributionQuery& from,
                            const ServedModel& model,
                            const Bounds& bounds,
                            search::AttributionQuery* to) {
  if (from.has_logit()) {
    ASSIGN_OR_RETURN(
        to->target, LogitFromProto(from.logit(), model, bounds, "query.logit"));
  } else if (from.has_node()) {
    ASSIGN_OR_RETURN(to->target,
                     NodeFromProto(from.node(), bounds, "query.node"));
  }
  if (from.has_source()) {
    ASSIGN_OR_RETURN(to->source,
                     NodeFromProto(from.source(), bounds, "query.source"));
  }
  to->num_paths = from.has_path_count() ? from.path_count() : kDefaultPaths;
  RETURN_IF_ERROR(CheckField(to->num_paths >= 0 && to->num_paths <= kMaxPaths,
                             "query.path_count", to->num_paths,
                             base::Cat("[0, ", kMaxPaths, "]")));
  ASSIGN_OR_RETURN(to->weighting,
                   EnumFromProto(kWeightings, from.path_weighting(),
                                 "query.path_weighting"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<search::AttributionQuestion> AttributionFromProto(
    const v1::AttributeRequest& request, const ServedModel& model) {
  search::AttributionQuestion question;
  models::AttributionRequest& to = question.request;
  ASSIGN_OR_RETURN(to.tokens, TokensFromProto(request.prompt(), model));
  const Bounds bounds{.num_tokens = static_cast<int>(to.tokens.size()),
                      .num_layers = model.explainer->info().num_layers,
                      .vocab_size = model.explainer->info().vocab_size};
  to.decomposition = request.decomposition();
  const v1::AttributeOptions& options = request.options();
  RETURN_IF_ERROR(RunFromProto(options, &to));
  RETURN_IF_ERROR(NodesFromProto(options, bounds, &to));
  RETURN_IF_ERROR(LogitsFromProto(options, model, bounds, &to));
  RETURN_IF_ERROR(EdgesFromProto(options.edge_rule(), &to.filter));
  RETURN_IF_ERROR(
      QueryFromProto(request.query(), model, bounds, &question.query));
  return question;
}

absl::Status WithRequestField(const absl::Status& status) {
  std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  if (!detail.has_value()) return status;
  const std::string_view field = detail->field;
  if (!field.starts_with("nodes[") && !field.starts_with("logits[") &&
      field != "run") {
    return status;
  }
  detail->field = base::Cat("options.", field);
  return base::Error(status.code(), base::MessageOf(status), *detail);
}

}  // namespace spar::service
