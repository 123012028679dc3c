// L3. Robust mode: a set that holds against a declared attack, by
// counterexample-guided growth and deletion. search.md §3.9.
#pragma once

#include <vector>

#include "models/row.h"
#include "server/search/attack.h"
#include "server/search/case.h"
#include "server/search/phases.h"

namespace spar::search {

// Note [Holding against an attack]
// A restriction (S, T) holds against the attack when the worst margin that the
// attack finds is above tau_acc: in GROUNDED mode too, where the plain margin
// has a higher bar. That says nothing about other attacks, or about more steps
// of the same. Margins of points with real masks come from
// Backend::Gradients, in batches of the search's own rows; those nearer
// tau_acc than the noise are asked again alone, and that value decides.

// What an attack came to.
struct Attacked {
  WorstPoint worst = {};
  std::vector<double> worst_by_step = {};  // short where it ended early
};

// attack_run.cc: attacks restrictions side by side, as the options declare.
// `until_broken`: each ends at the step that first breaks its set.
Search<std::vector<Attacked>> RunAttacks(Case* c,
                                         std::vector<Restriction> restrictions,
                                         bool until_broken);
// What the model says at points with real masks; those near tau_acc alone.
Search<std::vector<models::RowGradient>> GradientsAt(
    Case* c, std::vector<models::GradientRow> points);
Search<std::vector<double>> MarginsAt(Case* c,
                                      std::vector<models::GradientRow> points);
inline bool Holds(const Case& c, double worst_margin) {
  return worst_margin > c.tau_acc;
}

// Note [Counterexamples for other sets]
// A counterexample is a point that broke some set S0: a mask for every unit
// outside S0. It is asked of another restriction (S, T) as the point with 1 on
// S; the counterexample's mask on units outside S and S0; and 0, the reference,
// on units of S0 that S lacks, as their plain deletion has it. So a point that
// breaks (S, T) is always one that the attack on it could have found.
class Counterexamples {
 public:
  int size() const { return static_cast<int>(masks_.size()); }
  // The worst point of an attack that broke a set of these units.
  void Add(const WorstPoint& worst, const models::IndexSet& units);
  models::GradientRow PointOf(const Case& c,
                              int index,
                              const Restriction& restriction) const;

 private:
  std::vector<std::vector<float>> masks_;  // [unit]; 0 on the set that it broke
};

// The counterexample with the lowest margin at the restriction.
struct Refuter {
  int index = -1;  // -1: there are no counterexamples
  WorstPoint point = {};
};
Search<Refuter> FindRefuter(Case* c,
                            const Counterexamples* counterexamples,
                            Restriction restriction);

// A restriction that passes and holds, with the attack that it held against.
struct Held {
  Verified set = {};
  Attacked attacked = {};
};

// Keeps it as the best set, in the report too.
void KeepHeld(Case* c, const Held& held);

// robust.cc: adds the units that help most at the worst point until the set
// holds against the attack and all counterexamples. At the latest all units and
// all positions do.
Search<Held> GrowUntilHolds(Case* c,
                            Verified start,
                            Counterexamples* counterexamples);

// robust_deletion.cc: deletes units, then positions, while the set passes,
// holds against every counterexample and against the attack. In the last pass
// each single deletion of the result was refused: by the margin, the contrast,
// the precision, a counterexample or the attack.
Search<Held> ShrinkHeld(Case* c, Held start, Counterexamples* counterexamples);

// robust_certify.cc: the certificate with its attack.
Search<Certificate> CertifyHeld(Case* c, Held held);

// robust.cc: all of it, from a set that passes. Leaves the report in the case.
Search<Certificate> MakeRobust(Case* c, Verified plain);

}  // namespace spar::search
