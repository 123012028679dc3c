// L3. S given T: scores, prefix, deletion.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

// Rows of one window that share early layers start late: worth it only where
// the list is several windows long, because it bends the order.
constexpr size_t kLateFirstFrom = 256;
constexpr size_t kLateFirstWindow = 64;

void LateLayersFirst(const models::UnitTable& units,
                     std::vector<int32_t>& order) {
  if (order.size() < kLateFirstFrom) return;
  for (size_t begin = 0; begin < order.size(); begin += kLateFirstWindow) {
    const size_t end = std::min(order.size(), begin + kLateFirstWindow);
    std::stable_sort(order.begin() + static_cast<std::ptrdiff_t>(begin),
                     order.begin() + static_cast<std::ptrdiff_t>(end),
                     [&units](int32_t a, int32_t b) {
                       return units.At(a).layer > units.At(b).layer;
                     });
  }
}

}  // namespace

Search<Verified> FindUnits(Case* c, models::IndexSet positions) {
  CO_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> orders,
                      co_await ScoreUnits(c, positions));
  c->phase = Phase::kPrefix;
  Restriction base;
  base.units = models::IndexSet(c->subject.units->size());
  base.positions = positions;
  std::vector<std::vector<int32_t>> asked = orders;
  CO_ASSIGN_OR_RETURN(
      std::optional<Prefix> prefix,
      co_await FindPrefix(c, base, std::move(asked), Axis::kUnits));
  Verified found;
  found.restriction = base;
  // All units passed when T was found; should the full prefix not, go down from
  // what is known to pass.
  if (!prefix.has_value()) {
    found.restriction.units = c->AllUnits();
    found.margin = c->best_margin;
    co_return co_await ShrinkUnits(c, found);
  }
  std::vector<int32_t> order = orders[prefix->order];
  order.resize(prefix->size);
  for (const int32_t id : order) found.restriction.units.Insert(id);
  found.margin = prefix->margin;
  c->Keep(found.restriction, found.margin);

  c->phase = Phase::kDeletion;
  std::reverse(order.begin(), order.end());
  LateLayersFirst(*c->subject.units, order);
  co_return co_await Shrink(c, found, std::move(order), Axis::kUnits);
}

Search<Verified> ShrinkUnits(Case* c, Verified start) {
  c->phase = Phase::kDeletion;
  std::vector<int32_t> order = start.restriction.units.Members();
  if (order.size() > 1) {
    CO_ASSIGN_OR_RETURN(std::vector<double> drops,
                        co_await PredictDrops(c, start.restriction));
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return drops[a] < drops[b]; });
  }
  co_return co_await Shrink(c, start, std::move(order), Axis::kUnits);
}

}  // namespace spar::search
