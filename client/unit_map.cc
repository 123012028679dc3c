#include "client/unit_map.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "client/short_names.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kMostHeadCells = 64;
constexpr int kBars = 16;
constexpr int kMostNamesPerGroup = 16;
constexpr int kLayerColumns = 5;
constexpr int kUnitCountColumns = 5;

// What S holds of one layer.
struct Layer {
  std::vector<bool> heads = {};
  int num_heads = 0;
  int num_neurons = 0;
  std::array<int, kBars> bars = {};  // neurons by sixteenths of the layer
  std::vector<const v1::Unit*> units = {};
};

struct Map {
  std::vector<Layer> layers = {};
  bool has_heads = true;
  bool has_neurons = true;
  int tallest = 0;  // of all bars
};

void Add(const v1::Unit& unit, const v1::Model& model, Layer& layer) {
  layer.units.push_back(&unit);
  if (unit.kind() == "head") {
    ++layer.num_heads;
    if (unit.index() >= 0 && unit.index() < model.head_count()) {
      layer.heads[static_cast<size_t>(unit.index())] = true;
    }
    return;
  }
  ++layer.num_neurons;
  if (unit.index() >= 0 && unit.index() < model.neuron_count()) {
    const int64_t bar = int64_t{unit.index()} * kBars / model.neuron_count();
    ++layer.bars[static_cast<size_t>(bar)];
  }
}

Map MapOf(const google::protobuf::RepeatedPtrField<v1::Unit>& units,
          int unit_count,
          const v1::Model& model) {
  int num_layers = std::max(0, model.layer_count());
  for (const v1::Unit& unit : units) {
    num_layers = std::max(num_layers, unit.layer() + 1);
  }
  Map map;
  const int64_t heads = int64_t{model.layer_count()} * model.head_count();
  const int64_t neurons = int64_t{model.layer_count()} * model.neuron_count();
  map.has_heads = unit_count != neurons || heads == neurons;
  map.has_neurons = unit_count != heads || heads == neurons;
  map.layers.resize(static_cast<size_t>(num_layers));
  for (Layer& layer : map.layers) {
    layer.heads.resize(static_cast<size_t>(std::max(0, model.head_count())));
  }
  for (const v1::Unit& unit : units) {
    if (unit.layer() < 0) continue;
    Add(unit, model, map.layers[static_cast<size_t>(unit.layer())]);
  }
  for (const Layer& layer : map.layers) {
    map.tallest = std::max(
        map.tallest, *std::max_element(layer.bars.begin(), layer.bars.end()));
  }
  return map;
}

// Consecutive equal tones share one escape sequence.
std::string HeadCells(const Layer& layer, const Style& style) {
  if (layer.heads.size() > kMostHeadCells) {
    return base::Cat(layer.num_heads, "/", layer.heads.size());
  }
  std::string cells;
  for (size_t i = 0; i < layer.heads.size();) {
    const bool kept = layer.heads[i];
    std::string run;
    for (; i < layer.heads.size() && layer.heads[i] == kept; ++i) {
      run += kept ? (style.unicode ? "■" : "#") : (style.unicode ? "·" : ".");
    }
    cells += Paint(style, kept ? Tone::kLit : Tone::kDim, run);
  }
  return cells;
}

std::string Bar(int count, int tallest, const Style& style) {
  constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (!style.unicode) return std::to_string(std::min(count, 9));
  return kBlocks[(count * 8 + tallest - 1) / tallest - 1];
}

std::string Bars(const Layer& layer, int tallest, const Style& style) {
  std::string bars;
  for (size_t i = 0; i < layer.bars.size();) {
    const bool kept = layer.bars[i] > 0;
    std::string run;
    for (; i < layer.bars.size() && (layer.bars[i] > 0) == kept; ++i) {
      run += kept            ? Bar(layer.bars[i], tallest, style)
             : style.unicode ? "·"
                             : ".";
    }
    bars += Paint(style, kept ? Tone::kLit : Tone::kDim, run);
  }
  return bars;
}

// "transformer.h.3.mlp#neuron=100", ",317", " +12 more", ...
std::vector<Piece> Names(const Layer& layer) {
  ShortNames names(kMostNamesPerGroup);
  for (const v1::Unit* const unit : layer.units) {
    const std::string name = Escaped(unit->name());
    const std::string stem = name.substr(0, name.rfind('=') + 1);
    std::optional<std::string_view> group;
    if (!stem.empty()) group = stem;
    names.Add(group, name, std::string_view(name).substr(stem.size()));
  }
  return names.Take();
}

int HeadColumns(const Map& map, const v1::Model& model) {
  if (!map.has_heads) return 0;
  return model.head_count() > kMostHeadCells
             ? 2 * Width(std::to_string(model.head_count())) + 1
             : std::max(5, model.head_count());
}

// Paint adds no columns, so padding is by the unpainted width.
std::string PaddedCells(std::string cells, int width, int columns) {
  return cells +
         std::string(static_cast<size_t>(std::max(0, columns - width)), ' ');
}

std::string Line(size_t number,
                 const Map& map,
                 int head_columns,
                 int head_width,
                 const Style& style) {
  const Layer& layer = map.layers[number];
  const std::string label = std::to_string(number);
  std::string line =
      std::string(
          static_cast<size_t>(std::max(0, kLayerColumns - Width(label))), ' ') +
      Paint(style, layer.units.empty() ? Tone::kDim : Tone::kPlain, label);
  int indent = kLayerColumns;
  if (map.has_heads) {
    const std::string cells = HeadCells(layer, style);
    const int width =
        layer.heads.size() > kMostHeadCells ? Width(cells) : head_width;
    line += "  " + PaddedCells(cells, width, head_columns);
    indent += 2 + head_columns;
  }
  if (map.has_neurons) {
    const std::string count = WithCommas(layer.num_neurons);
    line += "  " + Bars(layer, map.tallest, style);
    line += std::string(
        static_cast<size_t>(std::max(1, kUnitCountColumns - Width(count))),
        ' ');
    line +=
        Paint(style, layer.num_neurons == 0 ? Tone::kDim : Tone::kPlain, count);
    indent += 2 + kBars + kUnitCountColumns;
  }
  if (layer.units.empty()) {
    line.erase(line.find_last_not_of(' ') + 1);
  } else {
    line += "  " + Wrapped(Names(layer), indent + 2, style.columns);
  }
  return line + "\n";
}

}  // namespace

std::string FormatUnitMap(
    const google::protobuf::RepeatedPtrField<v1::Unit>& units,
    int unit_count,
    const v1::Model& model,
    const Style& style) {
  if (units.empty()) return "";
  const Map map = MapOf(units, unit_count, model);
  const int head_columns = HeadColumns(map, model);
  std::string title = "layer";
  if (map.has_heads) title += "  " + Padded("heads", head_columns);
  if (map.has_neurons) title += "  neurons";
  title.erase(title.find_last_not_of(' ') + 1);
  std::string text = Paint(style, Tone::kDim, title) + "\n";
  for (size_t i = 0; i < map.layers.size(); ++i) {
    text += Line(i, map, head_columns, model.head_count(), style);
  }
  return text;
}

}  // namespace spar::client
