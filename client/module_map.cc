#include "client/module_map.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "client/short_names.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kMostLabelColumns = 32;
constexpr int kMostOfAModule = 16;
constexpr int kModuleCountColumns = 7;

// One line: consecutive units with the same label.
struct Group {
  std::string label = {};
  std::vector<const v1::Unit*> units = {};
};

using Units = google::protobuf::RepeatedPtrField<v1::Unit>;
using Tokens = google::protobuf::RepeatedPtrField<v1::Token>;

std::string LabelOf(const v1::Unit& unit, const Tokens& prompt) {
  if (!unit.has_position()) return Escaped(unit.module());
  const int position = unit.position();
  if (position < 0 || position >= prompt.size()) {
    return std::to_string(position);
  }
  std::string_view text = prompt.Get(position).text();
  if (text.size() > 1 && text.starts_with(' ')) text.remove_prefix(1);
  return base::Cat(position, " ", Quoted(text));
}

std::vector<Group> GroupsOf(const Units& units, const Tokens& prompt) {
  std::vector<Group> groups;
  for (const v1::Unit& unit : units) {
    std::string label = LabelOf(unit, prompt);
    if (groups.empty() || groups.back().label != label) {
      groups.emplace_back().label = std::move(label);
    }
    groups.back().units.push_back(&unit);
  }
  return groups;
}

// "7,31,delta" of one module; where `named`, "h.3.mlp.c_fc:7,31,delta".
std::vector<Piece> Pieces(const Group& group, bool named) {
  ShortNames names(kMostOfAModule);
  for (const v1::Unit* const unit : group.units) {
    const std::string part = unit->kind() == "delta"
                                 ? std::string("delta")
                                 : std::to_string(unit->index());
    names.Add(unit->module(),
              named ? base::Cat(Escaped(unit->module()), ":", part) : part,
              part);
  }
  return names.Take();
}

}  // namespace

std::string FormatModuleMap(const Units& units,
                            const Tokens& prompt,
                            const Style& style) {
  if (units.empty()) return "";
  const std::vector<Group> groups = GroupsOf(units, prompt);
  const bool nodes = units.Get(0).has_position();
  const std::string title = nodes ? "position" : "module";
  int columns = Width(title);
  for (const Group& group : groups) {
    columns =
        std::max(columns, std::min(kMostLabelColumns, Width(group.label)));
  }
  std::string text =
      Paint(style, Tone::kDim,
            base::Cat(Padded(title, columns), "   kept  ",
                      nodes ? "module:subcomponent" : "subcomponents")) +
      "\n";
  const std::string_view ellipsis = style.unicode ? "…" : "...";
  for (const Group& group : groups) {
    const std::string count =
        WithCommas(static_cast<int64_t>(group.units.size()));
    const int spaces = std::max(1, kModuleCountColumns - Width(count));
    text +=
        base::Cat(Padded(Clipped(group.label, columns, ellipsis), columns),
                  std::string(static_cast<size_t>(spaces), ' '), count, "  ",
                  Wrapped(Pieces(group, nodes),
                          columns + kModuleCountColumns + 2, style.columns),
                  "\n");
  }
  return text;
}

}  // namespace spar::client
