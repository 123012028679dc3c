#include "client/pruned_rows.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <tuple>
#include <vector>

namespace spar::client {

int ChosenPoint(const v1::PruneCurve& curve) {
  const auto says = [](const v1::PruneCurvePoint& point) {
    return point.on_frontier() && point.margin() > 0;
  };
  const auto better = [&says](const v1::PruneCurvePoint& point,
                              const v1::PruneCurvePoint& chosen) {
    if (says(point) != says(chosen)) return says(point);
    return says(point) ? point.node_count() < chosen.node_count()
                       : point.margin() > chosen.margin();
  };
  int chosen = 0;
  for (int i = 1; i < curve.points_size(); ++i) {
    if (better(curve.points(i), curve.points(chosen))) chosen = i;
  }
  return chosen;
}

google::protobuf::RepeatedPtrField<v1::Unit> UnitsOf(
    const v1::PruneHeader& header, const v1::PrunedNodes& nodes) {
  std::vector<int> order(static_cast<size_t>(nodes.sites_size()));
  std::iota(order.begin(), order.end(), 0);
  const auto place = [&nodes](int i) {
    return std::tuple(nodes.positions(i), nodes.sites(i),
                      nodes.subcomponents(i));
  };
  std::sort(order.begin(), order.end(),
            [&place](int a, int b) { return place(a) < place(b); });
  google::protobuf::RepeatedPtrField<v1::Unit> units;
  units.Reserve(nodes.sites_size());
  for (const int i : order) {
    const v1::AttributionSite& site = header.sites(nodes.sites(i));
    v1::Unit& unit = *units.Add();
    unit.set_kind("subcomponent");
    unit.set_layer(site.layer());
    unit.set_module(site.name());
    unit.set_index(nodes.subcomponents(i));
    unit.set_position(nodes.positions(i));
  }
  return units;
}

}  // namespace spar::client
