#include "models/ablation_parts.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

// First and last of "5", "0-9" or "*" among `count`.
std::optional<std::pair<int, int>> ParseRange(std::string_view text,
                                              int count) {
  if (text == "*") return std::pair(0, count - 1);
  const auto number = [](std::string_view digits) {
    int value = -1;
    const char* const end = digits.data() + digits.size();
    const auto [at, error] = std::from_chars(digits.data(), end, value);
    return error == std::errc() && at == end ? value : -1;
  };
  const size_t dash = text.find('-');
  const int first = number(text.substr(0, dash));
  const int last = dash == text.npos ? first : number(text.substr(dash + 1));
  if (first < 0 || last < first || last >= count) return std::nullopt;
  return std::pair(first, last);
}

// A site that a name may mean.
struct Site {
  InterventionKind kind = InterventionKind::kSubcomponent;
  int32_t site = 0;
  int count = 0;
};

std::optional<Site> FindSite(const UnitTable& units,
                             const DecompositionSpec* decomposition,
                             std::string_view module,
                             std::string_view kind) {
  for (int layer = 0; layer < units.num_layers(); ++layer) {
    const LayerUnits& found = units.layer(layer);
    if (kind == "head" && module == found.attention_module) {
      return Site{InterventionKind::kHead, layer, found.num_heads};
    }
    if (kind == "neuron" && module == found.mlp_module) {
      return Site{InterventionKind::kNeuron, layer, found.num_neurons};
    }
  }
  if (decomposition == nullptr) return std::nullopt;
  for (size_t m = 0; m < decomposition->modules.size(); ++m) {
    const DecomposedModule& found = decomposition->modules[m];
    if (module != found.name) continue;
    const int32_t site = static_cast<int32_t>(m);
    if (kind == "delta") return Site{InterventionKind::kDelta, site, 1};
    if (kind == "subcomponent") {
      return Site{InterventionKind::kSubcomponent, site, found.num_components};
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<Intervention>> ParseParts(
    const UnitTable& units,
    const DecompositionSpec* decomposition,
    std::string_view name,
    std::string_view field) {
  const size_t hash = name.rfind('#');
  const std::string_view module = name.substr(0, hash);
  const std::string_view rest =
      hash == name.npos ? std::string_view() : name.substr(hash + 1);
  const size_t equals = rest.find('=');
  const std::string_view kind = rest.substr(0, equals);
  const bool delta = kind == "delta" && equals == rest.npos;
  const std::string_view index =
      equals == rest.npos ? (delta ? "0" : "") : rest.substr(equals + 1);
  const std::optional<Site> site =
      kind == "delta" && !delta ? std::nullopt
                                : FindSite(units, decomposition, module, kind);
  const std::optional<std::pair<int, int>> range =
      site.has_value() ? ParseRange(index, site->count) : std::nullopt;
  if (!range.has_value()) {
    return base::InvalidArgument(
        "UNKNOWN_PART", field,
        base::Cat(field, " '", name, "' is no part of the model",
                  site.has_value() ? base::Cat(": ", module, " has ",
                                               site->count, " of ", kind)
                                   : std::string()),
        {{"part", std::string(name)}});
  }
  std::vector<Intervention> parts;
  for (int i = range->first; i <= range->second; ++i) {
    parts.push_back({.kind = site->kind, .site = site->site, .index = i});
  }
  return parts;
}

std::string PartName(const UnitTable& units,
                     const DecompositionSpec* decomposition,
                     const Intervention& intervention) {
  switch (intervention.kind) {
    case InterventionKind::kHead:
      return units.Name(units.Id({.kind = UnitKind::kHead,
                                  .layer = intervention.site,
                                  .index = intervention.index}));
    case InterventionKind::kNeuron:
      return units.Name(units.Id({.kind = UnitKind::kNeuron,
                                  .layer = intervention.site,
                                  .index = intervention.index}));
    case InterventionKind::kSubcomponent:
    case InterventionKind::kDelta:
      break;
  }
  const std::string& module = decomposition->modules[intervention.site].name;
  if (intervention.kind == InterventionKind::kDelta) {
    return base::Cat(module, "#delta");
  }
  return base::Cat(module, "#subcomponent=", intervention.index);
}

}  // namespace spar::models
