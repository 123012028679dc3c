#include "models/decomposition/ci_json.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/status.h"
#include "models/decomposition/spec_names.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxHidden = 16;
constexpr size_t kMaxGroups = 16'384;
constexpr IntRange kDistanceRange{.min = 0, .max = 1 << 20};
constexpr RealRange kRopeBaseRange{.above = 0, .max = 1e12};

void ReadHidden(ConfigReader& config, bool may_be_empty, CiSpec* ci) {
  const std::optional<std::vector<int>> hidden =
      config.OptionalInts("ci.hidden", kMlpWidthRange, kMaxHidden);
  if (!hidden.has_value() && config.ok()) {
    config.Refuse("ci.hidden", "want an array of widths");
  }
  ci->hidden = hidden.value_or(std::vector<int>{});
  if (ci->hidden.empty() && !may_be_empty && config.ok()) {
    config.Refuse("ci.hidden", "this kind needs at least one width");
  }
}

CiRotaryAttention ReadRotaryAttention(ConfigReader& config, int width) {
  CiRotaryAttention attention;
  attention.num_heads = config.Int("ci.attention.heads", kHeadsRange);
  attention.max_positions =
      config.Int("ci.attention.max_positions", kContextRange);
  attention.rope_base =
      config.OptionalReal("ci.attention.rope_base", kRopeBaseRange)
          .value_or(10000.0);
  if (width % (2 * attention.num_heads) != 0) {
    config.Refuse(
        "ci.attention.heads",
        base::Cat("want heads of an even width, and the stream's is ", width));
  }
  return attention;
}

CiRelativeAttention ReadRelativeAttention(ConfigReader& config) {
  CiRelativeAttention attention;
  attention.key_width = config.Int("ci.attention.key_width", kWidthRange);
  attention.value_width = config.Int("ci.attention.value_width", kWidthRange);
  attention.max_distance =
      config.Int("ci.attention.max_distance", kDistanceRange);
  attention.relative =
      ReadName(config, "ci.attention.relative", kRelativePositionsNames);
  attention.causal = config.Bool("ci.attention.causal");
  return attention;
}

absl::StatusOr<std::vector<CiGroup>> ReadGroups(
    ConfigReader& config, const std::vector<DecomposedModule>& modules) {
  std::map<std::string, int> index;
  for (size_t m = 0; m < modules.size(); ++m) {
    index[modules[m].name] = static_cast<int>(m);
  }
  std::vector<CiGroup> groups;
  std::set<int> seen;
  std::vector<ConfigReader> entries = config.Objects("ci.groups", kMaxGroups);
  for (ConfigReader& entry : entries) {
    CiGroup group;
    group.name = entry.Text("name");
    const std::vector<std::string> names =
        entry.OptionalTexts("modules").value_or(std::vector<std::string>{});
    for (const std::string& name : names) {
      const auto found = index.find(name);
      if (found == index.end()) {
        entry.Refuse("modules", base::Cat(Quoted(name), " is no module here"));
        break;
      }
      if (!seen.insert(found->second).second) {
        entry.Refuse("modules", base::Cat(Quoted(name), " occurs twice"));
      }
      group.modules.push_back(found->second);
    }
    if (names.empty()) entry.Refuse("modules", "want at least one name");
    RETURN_IF_ERROR(entry.Finish());
    groups.push_back(std::move(group));
  }
  if (config.ok() && seen.size() != modules.size()) {
    config.Refuse("ci.groups", base::Cat("holds ", seen.size(), " of the ",
                                         modules.size(), " modules"));
  }
  return groups;
}

}  // namespace

absl::StatusOr<CiSpec> ReadCi(ConfigReader& config,
                              const std::vector<DecomposedModule>& modules) {
  CiSpec ci;
  if (!config.IsObject("ci")) {
    config.Refuse("ci", "want an object");
    return ci;
  }
  ci.kind = ReadName(config, "ci.kind", kCiKindNames);
  const bool may_be_empty = ci.kind == CiKind::kSharedMlp ||
                            ci.kind == CiKind::kGlobalSharedMlp ||
                            ci.kind == CiKind::kGlobalReverseResidual;
  ReadHidden(config, may_be_empty, &ci);
  if (ci.kind == CiKind::kSequenceMlp) {
    ci.relative_attention = ReadRelativeAttention(config);
  }
  const bool has_embedding =
      !modules.empty() && modules[0].site == ModuleSite::kEmbedding;
  if (has_embedding && !IsGlobal(ci.kind) && ci.kind != CiKind::kMlp) {
    config.Refuse("ci.kind",
                  "reads a module's input, and the embedding's are token ids");
  }
  if (ci.kind == CiKind::kGlobalSharedTransformer) {
    ci.width = config.Int("ci.width", kWidthRange);
    ci.num_blocks = config.Int("ci.blocks", kLayersRange);
    ci.attention = ReadRotaryAttention(config, ci.width);
  }
  if (ci.kind == CiKind::kGlobalReverseResidual) {
    ci.width = config.Int("ci.width", kWidthRange);
    if (config.IsSet("ci.attention")) {
      ci.attention = ReadRotaryAttention(config, ci.width);
    }
    ci.transition_hidden =
        config.OptionalInt("ci.transition_hidden", kMlpWidthRange);
    ASSIGN_OR_RETURN(ci.groups, ReadGroups(config, modules));
  }
  return ci;
}

Json CiJson(const DecompositionSpec& spec) {
  const CiSpec& ci = spec.ci;
  Json json = {{"kind", NameIn(kCiKindNames, ci.kind)}, {"hidden", ci.hidden}};
  if (ci.kind == CiKind::kGlobalSharedTransformer ||
      ci.kind == CiKind::kGlobalReverseResidual) {
    json["width"] = ci.width;
  }
  if (ci.kind == CiKind::kGlobalSharedTransformer) {
    json["blocks"] = ci.num_blocks;
  }
  if (ci.attention.has_value()) {
    json["attention"] = {{"heads", ci.attention->num_heads},
                         {"max_positions", ci.attention->max_positions},
                         {"rope_base", ci.attention->rope_base}};
  }
  if (ci.relative_attention.has_value()) {
    const CiRelativeAttention& head = *ci.relative_attention;
    json["attention"] = {
        {"key_width", head.key_width},
        {"value_width", head.value_width},
        {"max_distance", head.max_distance},
        {"relative", NameIn(kRelativePositionsNames, head.relative)},
        {"causal", head.causal}};
  }
  if (ci.transition_hidden.has_value()) {
    json["transition_hidden"] = *ci.transition_hidden;
  }
  for (const CiGroup& group : ci.groups) {
    Json names = Json::array();
    for (const int m : group.modules) names.push_back(spec.modules[m].name);
    json["groups"].push_back({{"name", group.name}, {"modules", names}});
  }
  return json;
}

}  // namespace spar::models
