#include "client/graph/graph_layout.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "client/graph/node_names.h"
#include "client/text.h"

namespace spar::client {
namespace {

constexpr double kPitch = 19;          // between nodes of one cell
constexpr double kBandPadding = 7;     // above and below a band's nodes
constexpr double kLayerGap = 10;       // between layers
constexpr double kColumnPadding = 16;  // left and right of a column together
constexpr double kCharacter = 7.4;     // of a token's label
constexpr int kLabelCharacters = 14;
constexpr double kSmallest = 3.2;
constexpr double kLargest = 8.2;
constexpr int kWidestCell = 7;        // nodes side by side
constexpr double kComfortable = 860;  // columns are stretched towards this
constexpr double kLongestStretch = 1.9;

// Nodes of one site at one position.
struct Cell {
  std::vector<size_t> nodes = {};  // indices of GraphLayout::nodes

  int Columns() const {
    const double n = static_cast<double>(nodes.size());
    return std::clamp(static_cast<int>(std::ceil(std::sqrt(1.8 * n))), 1,
                      kWidestCell);
  }
  int Rows() const {
    return (static_cast<int>(nodes.size()) + Columns() - 1) / Columns();
  }
};

using Cells = std::map<std::pair<int, int>, Cell>;  // (site, position)

void ChooseNodes(const GraphView& view, int max_nodes, GraphLayout& layout) {
  std::vector<int> order(static_cast<size_t>(view.num_nodes()));
  std::iota(order.begin(), order.end(), 0);
  const auto& shares = view.shares();
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return shares[a] > shares[b]; });
  // The target's share is 1: the first of all, but perhaps among equals.
  std::stable_partition(order.begin(), order.end(),
                        [&](int node) { return node == view.target(); });
  const size_t kept =
      std::min(order.size(), static_cast<size_t>(std::max(1, max_nodes)));
  layout.nodes_hidden = static_cast<int>(order.size() - kept);
  order.resize(kept);
  std::sort(order.begin(), order.end());
  for (const int node : order) {
    const double share = std::clamp(shares[node], 0.0, 1.0);
    layout.nodes.push_back(
        {node, 0, 0,
         kSmallest + (kLargest - kSmallest) * std::sqrt(std::sqrt(share))});
  }
}

void ChooseEdges(const GraphView& view, int max_edges, GraphLayout& layout) {
  std::vector<int> placed(static_cast<size_t>(view.num_nodes()), -1);
  for (size_t i = 0; i < layout.nodes.size(); ++i) {
    placed[static_cast<size_t>(layout.nodes[i].node)] = static_cast<int>(i);
  }
  const graph::PathWeights weights = graph::WeightsOf(
      view.edges(), view.activations(), graph::Weighting::kShare);
  for (int target = 0; target < view.num_nodes(); ++target) {
    const std::span<const int32_t> sources = view.edges().Sources(target);
    const std::span<const float> values = view.edges().Weights(target);
    const size_t first = view.edges().First(target);
    for (size_t i = 0; i < sources.size(); ++i) {
      const int from = placed[static_cast<size_t>(sources[i])];
      const int to = placed[static_cast<size_t>(target)];
      if (from < 0 || to < 0) continue;
      layout.edges.push_back(
          {from, to, values[i],
           view.shares()[target] * weights.factors[first + i]});
    }
  }
  std::stable_sort(
      layout.edges.begin(), layout.edges.end(),
      [](const PlacedEdge& a, const PlacedEdge& b) { return a.flow < b.flow; });
  const size_t kept = static_cast<size_t>(std::max(0, max_edges));
  if (layout.edges.size() > kept) {
    layout.edges.erase(layout.edges.begin(),
                       layout.edges.end() - static_cast<std::ptrdiff_t>(kept));
  }
  layout.edges_hidden =
      view.edges().num_edges() - static_cast<int64_t>(layout.edges.size());
}

// By how much the columns are wider than they have to be.
double PlaceColumns(const GraphView& view,
                    const Cells& cells,
                    GraphLayout& layout) {
  std::vector<int> widest(static_cast<size_t>(view.header().prompt_size()), 0);
  for (const auto& [where, cell] : cells) {
    int& columns = widest[static_cast<size_t>(where.second)];
    columns = std::max(columns, cell.Columns());
  }
  double left = 0;
  for (int t = 0; t < view.header().prompt_size(); ++t) {
    const int characters = std::min(
        kLabelCharacters, Width(Escaped(view.header().prompt(t).text())));
    const double width =
        kColumnPadding + std::max(kPitch * widest[static_cast<size_t>(t)],
                                  kCharacter * std::max(2, characters));
    layout.columns.push_back({t, left, width});
    left += width;
  }
  const double stretch = std::clamp(kComfortable / left, 1.0, kLongestStretch);
  for (Column& column : layout.columns) {
    column.left *= stretch;
    column.width *= stretch;
  }
  layout.width = left * stretch;
  return stretch;
}

// Lines of nodes, each centred in its column.
void PlaceCell(
    const Cell& cell, double x, double y, double stretch, GraphLayout& layout) {
  const int size = static_cast<int>(cell.nodes.size());
  for (int i = 0; i < size; ++i) {
    const int line = i / cell.Columns();
    const int at = i % cell.Columns();
    const int in_line = std::min(cell.Columns(), size - line * cell.Columns());
    PlacedNode& node = layout.nodes[cell.nodes[static_cast<size_t>(i)]];
    node.x = x + stretch * kPitch * (at - (in_line - 1) / 2.0);
    node.y = y + kPitch * (line - (cell.Rows() - 1) / 2.0);
  }
}

void PlaceBands(const GraphView& view,
                const Cells& cells,
                double stretch,
                GraphLayout& layout) {
  std::map<int, int> rows;  // of each site that has any
  for (const auto& [where, cell] : cells) {
    int& tallest = rows[where.first];
    tallest = std::max(tallest, cell.Rows());
  }
  double top = 0;
  std::optional<int> layer;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    const v1::AttributionSite& site = view.header().sites(row->first);
    if (layer && *layer != site.layer()) top += kLayerGap;
    layer = site.layer();
    const double height = 2 * kBandPadding + kPitch * row->second;
    layout.bands.push_back(
        {std::string(PartName(site.part())), site.layer(), top, height});
    for (const auto& [where, cell] : cells) {
      if (where.first != row->first) continue;
      const Column& column = layout.columns[static_cast<size_t>(where.second)];
      PlaceCell(cell, column.left + column.width / 2, top + height / 2, stretch,
                layout);
    }
    top += height;
  }
  layout.height = top;
}

}  // namespace

GraphLayout LayOut(const GraphView& view, const LayoutLimits& limits) {
  GraphLayout layout;
  ChooseNodes(view, limits.max_nodes, layout);
  ChooseEdges(view, limits.max_edges, layout);
  Cells cells;
  for (size_t i = 0; i < layout.nodes.size(); ++i) {
    const v1::AttributionNode& node = view.node(layout.nodes[i].node);
    cells[{node.site(), node.position()}].nodes.push_back(i);
  }
  const double stretch = PlaceColumns(view, cells, layout);
  PlaceBands(view, cells, stretch, layout);
  return layout;
}

}  // namespace spar::client
