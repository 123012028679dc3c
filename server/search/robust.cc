// L3. Growth by counterexamples, and the report of robust mode.
#include "server/search/robust.h"

#include <algorithm>
#include <utility>

namespace spar::search {
namespace {

// Units of a growth step: this share of the set, so that a large set needs few
// attacks and a small one gains no more than it needs.
constexpr int kGrowthShare = 4;

// The full attack on the plain set, and the report's first half.
Search<Attacked> AttackPlain(Case* c, Verified plain) {
  std::vector<Restriction> one(1, plain.restriction);
  CO_ASSIGN_OR_RETURN(std::vector<Attacked> attacked,
                      co_await RunAttacks(c, std::move(one), false));
  Robustness robustness;
  robustness.steps = c->options().attack_steps;
  robustness.step_size = c->options().attack_step_size;
  robustness.restarts = c->options().attack_restarts;
  robustness.plain_units = plain.restriction.units.Count();
  robustness.plain_curve = AttackCurve(attacked.front().worst_by_step);
  c->robustness = std::move(robustness);
  co_return std::move(attacked.front());
}

// Units outside S by what the margin gains, to first order, when their mask
// goes from where the worst point has it to 1; most first.
std::vector<int32_t> MostHelpful(const Case& c,
                                 const models::IndexSet& units,
                                 const WorstPoint& worst) {
  std::vector<double> gains(worst.gradient.size(), 0.0);
  std::vector<int32_t> outside;
  for (const models::UnitId id : c.candidates) {
    if (units.Contains(id)) continue;
    gains[id] = double{worst.gradient[id]} * (1.0 - worst.masks[id]);
    outside.push_back(id);
  }
  std::stable_sort(outside.begin(), outside.end(),
                   [&](int32_t a, int32_t b) { return gains[a] > gains[b]; });
  return outside;
}

}  // namespace

void KeepHeld(Case* c, const Held& held) {
  c->robustness->holds = true;
  c->robustness->curve = AttackCurve(held.attacked.worst_by_step);
  c->Keep(held.set.restriction, held.set.margin);
}

void Counterexamples::Add(const WorstPoint& worst,
                          const models::IndexSet& units) {
  std::vector<float> masks = worst.masks;
  for (const int32_t id : units.Members()) masks[id] = 0.0f;
  masks_.push_back(std::move(masks));
}

models::GradientRow Counterexamples::PointOf(
    const Case& c, int index, const Restriction& restriction) const {
  std::vector<float> masks = masks_[static_cast<size_t>(index)];
  for (const int32_t id : restriction.units.Members()) masks[id] = 1.0f;
  return c.GradientRowOf(restriction.positions, std::move(masks));
}

Search<Refuter> FindRefuter(Case* c,
                            const Counterexamples* counterexamples,
                            Restriction restriction) {
  std::vector<models::GradientRow> points;
  for (int i = 0; i < counterexamples->size(); ++i) {
    points.push_back(counterexamples->PointOf(*c, i, restriction));
  }
  std::vector<models::GradientRow> asked = points;
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> found,
                      co_await GradientsAt(c, std::move(asked)));
  Refuter refuter;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].margin >= refuter.point.margin) continue;
    refuter.index = static_cast<int>(i);
    refuter.point.margin = found[i].margin;
    refuter.point.masks = points[i].masks;
    refuter.point.gradient = std::move(found[i].gradient);
  }
  co_return refuter;
}

Search<Held> GrowUntilHolds(Case* c,
                            Verified start,
                            Counterexamples* counterexamples) {
  Held held;
  held.set = start;
  CO_ASSIGN_OR_RETURN(held.attacked, co_await AttackPlain(c, start));
  Restriction& now = held.set.restriction;
  bool passes = true;
  while (true) {
    WorstPoint worst = held.attacked.worst;
    const bool holds = Holds(*c, worst.margin);
    c->Decide(Decision::kAttack, now.units.Count(), holds);
    if (!holds) {
      counterexamples->Add(worst, now.units);
    } else {
      CO_ASSIGN_OR_RETURN(Refuter refuter,
                          co_await FindRefuter(c, counterexamples, now));
      const bool refuted = !Holds(*c, refuter.point.margin);
      c->Decide(Decision::kAttack, refuter.index, !refuted);
      if (!refuted && passes) break;
      if (refuted) worst = std::move(refuter.point);
    }
    const std::vector<int32_t> helpful = MostHelpful(*c, now.units, worst);
    const size_t wanted =
        static_cast<size_t>((now.units.Count() + kGrowthShare) / kGrowthShare);
    for (size_t i = 0; i < std::min(wanted, helpful.size()); ++i) {
      now.units.Insert(helpful[i]);
    }
    // Nothing is outside, and T alone does not pass: the full model does.
    if (helpful.empty()) now.positions = c->AllPositions();
    std::vector<Restriction> judged(1, now);
    CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                        co_await Judge(c, std::move(judged)));
    passes = trials.front().passes;
    held.set.margin = trials.front().margin;
    std::vector<Restriction> asked(1, now);
    CO_ASSIGN_OR_RETURN(std::vector<Attacked> attacked,
                        co_await RunAttacks(c, std::move(asked), true));
    held.attacked = std::move(attacked.front());
    if (now.units == c->AllUnits() && now.positions == c->AllPositions()) break;
  }
  KeepHeld(c, held);
  co_return held;
}

Search<Certificate> MakeRobust(Case* c, Verified plain) {
  c->phase = Phase::kAttack;
  Counterexamples counterexamples;
  CO_ASSIGN_OR_RETURN(Held held,
                      co_await GrowUntilHolds(c, plain, &counterexamples));
  CO_ASSIGN_OR_RETURN(held, co_await ShrinkHeld(c, held, &counterexamples));
  co_return co_await CertifyHeld(c, held);
}

}  // namespace spar::search
