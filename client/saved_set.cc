#include "client/saved_set.h"

#include <algorithm>
#include <utility>

#include "client/json_lines.h"
#include "client/pruned_rows.h"
#include "client/spar_client.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>

#include "base/status.h"

namespace spar::client {
namespace {

using google::protobuf::util::JsonStringToMessage;

template <typename... Pieces>
absl::Status Unreadable(const Pieces&... pieces) {
  return absl::InvalidArgumentError(base::AbslView(base::Cat(pieces...)));
}

bool IsJson(std::string_view line, google::protobuf::Message* message) {
  // What is no such message is said once, by the caller.
  const google::protobuf::LogSilencer silence;
  return JsonStringToMessage({line.data(), line.size()}, message).ok();
}

// Calls `take` with each line that is a Message, until it fails.
template <typename Message, typename Take>
absl::Status ForEachLine(std::string_view text, const Take& take) {
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    Message message;
    if (!IsJson(line, &message)) {
      return Unreadable("line ", number,
                        " is no message of `spar crystallize` or ",
                        "`spar prune` as JSON");
    }
    RETURN_IF_ERROR(take(message));
  }
  return absl::OkStatus();
}

// The scheme that a certificate names.
v1::UnitScheme SchemeOf(const v1::Certificate& certificate) {
  google::protobuf::Struct content;
  if (!IsJson(certificate.canonical_json(), &content)) {
    return v1::UNIT_SCHEME_UNSPECIFIED;
  }
  const auto& fields = content.fields();
  const auto named = fields.find("unit_scheme");
  if (named == fields.end()) return v1::UNIT_SCHEME_UNSPECIFIED;
  const auto found = UnitSchemeWords().find(named->second.string_value());
  return found == UnitSchemeWords().end() ? v1::UNIT_SCHEME_UNSPECIFIED
                                          : found->second;
}

absl::StatusOr<UnitSpace> SpaceOf(const v1::Explanation& explanation,
                                  v1::UnitScheme scheme) {
  if (scheme != v1::UNIT_SCHEME_UNSPECIFIED) return client::SpaceOf(scheme);
  if (explanation.units().empty()) {
    return Unreadable(
        "the set of ", explanation.kept_unit_count(),
        " units is told by numbers alone, and no certificate says of "
        "which scheme");
  }
  const v1::Unit& unit = explanation.units(0);
  if (unit.has_position()) return UnitSpace::kNodes;
  return unit.module().empty() ? UnitSpace::kHeadsAndNeurons
                               : UnitSpace::kSubcomponents;
}

absl::StatusOr<SavedSet> SetOf(const v1::Explanation& explanation) {
  if (explanation.kept_unit_count() == 0) {
    return Unreadable("the explanation holds no units");
  }
  SavedSet set;
  set.scheme = SchemeOf(explanation.certificate());
  ASSIGN_OR_RETURN(set.space, SpaceOf(explanation, set.scheme));
  for (const v1::Token& token : explanation.prompt()) {
    set.prompt.push_back(token.id());
  }
  set.target_id = explanation.target().id();
  for (const v1::Position& position : explanation.positions()) {
    set.positions.push_back(position.index());
  }
  set.model_digest = explanation.certificate().model_digest();
  set.decomposition_digest = explanation.certificate().decomposition_digest();
  set.units = explanation.units();
  ASSIGN_OR_RETURN(set.ids, UnpackIds(explanation.unit_id_deltas()));
  return set;
}

absl::StatusOr<SavedSet> SetOf(const PruneAnswer& answer, int number) {
  const v1::PrunedRow& row = answer.rows[static_cast<size_t>(number)];
  if (!row.has_nodes()) {
    return Unreadable("row ", number, " has ", row.node_count(),
                      " nodes, too many for its pruning to tell");
  }
  if (row.nodes().sites().empty())
    return Unreadable("row ", number, " has no nodes");
  SavedSet set;
  set.space = UnitSpace::kNodes;
  set.scheme = v1::UNIT_SCHEME_NODE_AND_DELTA;
  const v1::PrunedPrompt& prompt = answer.header.prompts(row.prompt_index());
  const int end = std::min(prompt.position() + 1, prompt.tokens_size());
  for (int i = 0; i < end; ++i) {
    set.prompt.push_back(prompt.tokens(i).id());
    set.positions.push_back(i);
  }
  set.target_id = row.target().id();
  set.units = UnitsOf(answer.header, row.nodes());
  return set;
}

absl::StatusOr<int> NumberOf(const PruneAnswer& answer,
                             const SetChoice& choice) {
  const int num_rows = static_cast<int>(answer.rows.size());
  if (choice.row) {
    if (*choice.row >= 0 && *choice.row < num_rows) return *choice.row;
    return Unreadable("there is no row ", *choice.row, " among ", num_rows,
                      ", which count from 0");
  }
  if (answer.header.prompts_size() > 1) {
    return Unreadable("there are ", num_rows, " rows of ",
                      answer.header.prompts_size(),
                      " prompts: --row says which");
  }
  const v1::PruneCurve& curve = answer.summary.curves(0);
  return curve.points(ChosenPoint(curve)).coefficient_index();
}

absl::StatusOr<SavedSet> ReadPruning(std::string_view text,
                                     const SetChoice& choice) {
  PruneReader reader;
  RETURN_IF_ERROR(ForEachLine<v1::PruneResponse>(
      text, [&reader](const v1::PruneResponse& message) {
        return reader.Add(message);
      }));
  ASSIGN_OR_RETURN(const PruneAnswer answer, std::move(reader).Finish());
  ASSIGN_OR_RETURN(const int number, NumberOf(answer, choice));
  absl::StatusOr<SavedSet> set;
  if (choice.certified) {
    const auto found = answer.explanations.find(number);
    if (found == answer.explanations.end()) {
      return Unreadable("the pruning was not asked to crystallize its rows");
    }
    set = SetOf(found->second.explanation());
  } else {
    set = SetOf(answer, number);
  }
  if (!set.ok()) return set;
  set->model_digest = answer.header.model_digest();
  set->decomposition = answer.header.decomposition();
  set->decomposition_digest = answer.header.decomposition_digest();
  return set;
}

absl::StatusOr<SavedSet> ReadSearch(std::string_view text,
                                    const SetChoice& choice) {
  std::optional<v1::Explanation> explanation;
  RETURN_IF_ERROR(ForEachLine<v1::CrystallizeResponse>(
      text, [&explanation](const v1::CrystallizeResponse& message) {
        if (message.has_explanation()) explanation = message.explanation();
        return absl::OkStatus();
      }));
  if (!explanation)
    return Unreadable("there is neither explanation nor pruning");
  if (choice.row || choice.certified) {
    return Unreadable("there is one explanation; rows are of `spar prune`");
  }
  return SetOf(*explanation);
}

}  // namespace

absl::StatusOr<SavedSet> ReadSavedSet(std::string_view text,
                                      const SetChoice& choice) {
  v1::PruneResponse first;
  const bool is_pruning =
      IsJson(text.substr(0, text.find('\n')), &first) && first.has_header();
  return is_pruning ? ReadPruning(text, choice) : ReadSearch(text, choice);
}

absl::StatusOr<std::string> JsonLinesOf(const PruneAnswer& answer) {
  std::string lines;
  const auto add = [&lines](const v1::PruneResponse& message) {
    ASSIGN_OR_RETURN(const std::string line, JsonLine(message));
    lines += line;
    return absl::OkStatus();
  };
  v1::PruneResponse message;
  *message.mutable_header() = answer.header;
  RETURN_IF_ERROR(add(message));
  for (const v1::PrunedRow& row : answer.rows) {
    *message.mutable_row() = row;
    RETURN_IF_ERROR(add(message));
  }
  for (const auto& [row, explanation] : answer.explanations) {
    *message.mutable_explanation() = explanation;
    RETURN_IF_ERROR(add(message));
  }
  *message.mutable_summary() = answer.summary;
  RETURN_IF_ERROR(add(message));
  return lines;
}

}  // namespace spar::client
