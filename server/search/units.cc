// L3. S given T: scores, prefix, deletion.
#include <algorithm>
#include <cmath>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

// Rows of one window that share early layers start late: worth it only where
// the list is several windows long, because it bends the order.
constexpr size_t kLateFirstFrom = 256;
constexpr size_t kLateFirstWindow = 64;
constexpr size_t kMeasuredUnits = 64;
// A prefix this short needs no better orders: deletion does the rest.
constexpr int kShortPrefix = 16;

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

// [unit] What S loses without the unit: measured for small sets, whose deletion
// then begins with these very rows, and predicted for others. Measured drops
// count in steps of the noise, so that equal ones are equal.
Search<std::vector<double>> MeasureDrops(Case* c,
                                         Verified at,
                                         std::vector<int32_t> units) {
  if (units.size() > kMeasuredUnits || c->contrast_bar > 0) {
    co_return co_await PredictDrops(c, at.restriction);
  }
  std::vector<Restriction> singles;
  for (const int32_t id : units) {
    singles.push_back(Without(at.restriction, Axis::kUnits, id));
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<Trial> trials,
      co_await Judge(c, std::move(singles), schedule::Sharing::kApart));
  std::vector<double> drops(c->units.size(), 0.0);
  for (size_t i = 0; i < units.size(); ++i) {
    const double margin = trials[i].margin;
    drops[units[i]] = c->noise > 0 ? -std::round(margin / c->noise) : -margin;
  }
  co_return drops;
}

// Orders with more gradient rows when the first few find no short prefix.
Search<std::optional<Prefix>> FindUnitPrefix(Case* c, Restriction base) {
  CO_ASSIGN_OR_RETURN(c->orders,
                      co_await ScoreUnits(c, base.positions, kFewScoreRows));
  c->phase = Phase::kPrefix;
  std::vector<std::vector<int32_t>> few = c->orders;
  CO_ASSIGN_OR_RETURN(
      std::optional<Prefix> prefix,
      co_await FindPrefix(c, base, std::move(few), Axis::kUnits));
  if (prefix.has_value() && prefix->size <= kShortPrefix) co_return prefix;

  CO_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> many,
                      co_await ScoreUnits(c, base.positions, kManyScoreRows));
  c->phase = Phase::kPrefix;
  std::vector<std::vector<int32_t>> asked = many;
  CO_ASSIGN_OR_RETURN(
      std::optional<Prefix> other,
      co_await FindPrefix(c, base, std::move(asked), Axis::kUnits));
  if (!other.has_value()) co_return prefix;
  if (prefix.has_value() && prefix->size <= other->size) co_return prefix;
  c->orders = std::move(many);
  co_return other;
}

// Down from all units, which passed when T was found: where no prefix of any
// order passes.
Search<Verified> ShrinkAllUnits(Case* c, models::IndexSet positions) {
  Verified all;
  all.restriction.units = c->AllUnits();
  all.restriction.positions = positions;
  all.margin = c->best_margin;
  co_return co_await ShrinkUnits(c, all);
}

}  // namespace

Search<Verified> FindUnits(Case* c, models::IndexSet positions) {
  Restriction base;
  base.units = c->NoUnits();
  base.positions = positions;
  CO_ASSIGN_OR_RETURN(std::optional<Prefix> prefix,
                      co_await FindUnitPrefix(c, base));
  if (!prefix.has_value()) co_return co_await ShrinkAllUnits(c, base.positions);
  co_return co_await ShrinkPrefix(c, base, *prefix, c->orders[prefix->order]);
}

Search<Verified> FindUnitsFrom(Case* c, Restriction initial) {
  c->phase = Phase::kPrefix;
  std::vector<Restriction> asked(1, initial);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(asked)));
  Verified found;
  found.restriction = initial;
  found.margin = trials.front().margin;
  c->Decide(Decision::kInitial, initial.units.Count(), trials.front().passes);
  if (!trials.front().passes) {
    CO_ASSIGN_OR_RETURN(std::optional<Prefix> prefix,
                        co_await FindUnitPrefix(c, initial));
    if (!prefix.has_value()) {
      co_return co_await ShrinkAllUnits(c, initial.positions);
    }
    const std::vector<int32_t>& order = c->orders[prefix->order];
    for (int i = 0; i < prefix->size; ++i) {
      found.restriction.units.Insert(order[i]);
    }
    found.margin = prefix->margin;
  }
  c->Keep(found.restriction, found.margin);
  co_return co_await ShrinkUnits(c, found);
}

Search<Verified> ShrinkPrefix(Case* c,
                              Restriction base,
                              Prefix prefix,
                              std::vector<int32_t> order) {
  Verified found;
  found.restriction = base;
  order.resize(prefix.size);
  for (const int32_t id : order) found.restriction.units.Insert(id);
  found.margin = prefix.margin;
  c->Keep(found.restriction, found.margin);

  c->phase = Phase::kDeletion;
  std::reverse(order.begin(), order.end());
  LateLayersFirst(c->units.table(), order);
  co_return co_await Shrink(c, found, std::move(order), Axis::kUnits);
}

Search<Verified> ShrinkUnits(Case* c, Verified start) {
  c->phase = Phase::kDeletion;
  std::vector<int32_t> order = start.restriction.units.Members();
  if (order.size() > 1) {
    CO_ASSIGN_OR_RETURN(std::vector<double> drops,
                        co_await MeasureDrops(c, start, order));
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return drops[a] < drops[b]; });
  }
  co_return co_await Shrink(c, start, std::move(order), Axis::kUnits);
}

}  // namespace spar::search
