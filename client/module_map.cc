#include "client/module_map.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kMostLabelColumns = 32;
constexpr int kMostOfAModule = 16;
constexpr int kCountColumns = 7;

// One line: consecutive units with the same label.
struct Group {
  std::string label = {};
  std::vector<const v1::Unit*> units = {};
};

std::string LabelOf(const v1::Unit& unit, const v1::Explanation& explanation) {
  if (!unit.has_position()) return Escaped(unit.module());
  const int position = unit.position();
  if (position < 0 || position >= explanation.prompt_size()) {
    return std::to_string(position);
  }
  std::string_view text = explanation.prompt(position).text();
  if (text.size() > 1 && text.starts_with(' ')) text.remove_prefix(1);
  return base::Cat(position, " ", Quoted(text));
}

std::vector<Group> GroupsOf(const v1::Explanation& explanation) {
  std::vector<Group> groups;
  for (const v1::Unit& unit : explanation.units()) {
    std::string label = LabelOf(unit, explanation);
    if (groups.empty() || groups.back().label != label) {
      groups.emplace_back().label = std::move(label);
    }
    groups.back().units.push_back(&unit);
  }
  return groups;
}

// "7,31,delta" of one module; where `named`, "h.3.mlp.c_fc:7,31,delta".
std::vector<Piece> Pieces(const Group& group, bool named) {
  std::vector<Piece> pieces;
  const std::string* module = nullptr;
  int in_module = 0;
  int left_out = 0;
  const auto close = [&] {
    if (left_out == 0) return;
    const std::string more = base::Cat("+", left_out, " more");
    pieces.push_back({more, Width(more), true});
    left_out = 0;
  };
  for (const v1::Unit* const unit : group.units) {
    const std::string part = unit->kind() == "delta"
                                 ? std::string("delta")
                                 : std::to_string(unit->index());
    if (module != nullptr && *module == unit->module()) {
      if (++in_module > kMostOfAModule) {
        ++left_out;
        continue;
      }
      const std::string text = base::Cat(",", part);
      pieces.push_back({text, Width(text), false});
      continue;
    }
    close();
    module = &unit->module();
    in_module = 1;
    const std::string text =
        named ? base::Cat(Escaped(unit->module()), ":", part) : part;
    pieces.push_back({text, Width(text), true});
  }
  close();
  return pieces;
}

}  // namespace

std::string FormatModuleMap(const v1::Explanation& explanation,
                            const Style& style) {
  if (explanation.units().empty()) return "";
  const std::vector<Group> groups = GroupsOf(explanation);
  const bool nodes = explanation.units(0).has_position();
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
    const int spaces = std::max(1, kCountColumns - Width(count));
    text +=
        base::Cat(Padded(Clipped(group.label, columns, ellipsis), columns),
                  std::string(static_cast<size_t>(spaces), ' '), count, "  ",
                  Wrapped(Pieces(group, nodes), columns + kCountColumns + 2,
                          style.columns),
                  "\n");
  }
  return text;
}

}  // namespace spar::client
