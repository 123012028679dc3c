// L3. The certificate of a set that holds: the attack's margin, and for every
// single deletion that the margins leave, what the same attack makes of it.
#include <algorithm>
#include <utility>

#include "server/search/robust.h"

namespace spar::search {
namespace {

// The worst point of the set's own attack without the item: of a position, the
// same masks at fewer positions.
models::GradientRow WorstWithout(const Case& c,
                                 const Held& held,
                                 const Passing& deletion) {
  std::vector<float> masks = held.attacked.worst.masks;
  models::IndexSet positions = held.set.restriction.positions;
  if (deletion.axis == Axis::kUnits) {
    masks[deletion.item] = 0.0f;
  } else {
    positions.Remove(deletion.item);
  }
  return c.GradientRowOf(positions, std::move(masks));
}

// Per deletion the lowest margin found: at the set's own worst point, and where
// that does not break it, by an attack of its own.
Search<std::vector<double>> AttackDeletions(Case* c,
                                            const Held* held,
                                            std::vector<Passing> deletions) {
  std::vector<models::GradientRow> points;
  for (const Passing& deletion : deletions) {
    points.push_back(WorstWithout(*c, *held, deletion));
  }
  CO_ASSIGN_OR_RETURN(std::vector<double> lowest,
                      co_await MarginsAt(c, std::move(points)));
  std::vector<size_t> open;
  std::vector<Restriction> asked;
  for (size_t i = 0; i < deletions.size(); ++i) {
    if (!Holds(*c, lowest[i])) continue;
    open.push_back(i);
    asked.push_back(
        Without(held->set.restriction, deletions[i].axis, deletions[i].item));
  }
  CO_ASSIGN_OR_RETURN(std::vector<Attacked> attacked,
                      co_await RunAttacks(c, std::move(asked), true));
  for (size_t i = 0; i < open.size(); ++i) {
    lowest[open[i]] = std::min(lowest[open[i]], attacked[i].worst.margin);
  }
  co_return lowest;
}

void SetLowest(const Passing& deletion, double lowest, Certificate& c) {
  if (deletion.axis == Axis::kUnits) {
    const auto found =
        std::lower_bound(c.units.begin(), c.units.end(), deletion.item);
    c.attack->unit_deletion_margins[found - c.units.begin()] = lowest;
    return;
  }
  const int readout = static_cast<int>(c.tokens.size()) - 1;
  size_t index = 0;
  for (const int32_t position : c.positions) {
    if (position == deletion.item) break;
    index += position != readout && !(c.pin_first && position == 0);
  }
  c.attack->position_deletion_margins[index] = lowest;
}

}  // namespace

Search<Certificate> CertifyHeld(Case* c, Held held) {
  CO_ASSIGN_OR_RETURN(Certified certified,
                      co_await Certify(c, held.set.restriction));
  c->phase = Phase::kCertificate;
  Certificate& certificate = certified.certificate;
  // The worst point as a checker asks it: alone.
  std::vector<models::GradientRow> alone(
      1, c->GradientRowOf(held.set.restriction.positions,
                          held.attacked.worst.masks));
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> worst,
                      co_await c->oracle->Gradients(std::move(alone)));
  std::vector<Passing> deletions = certified.passing;
  CO_ASSIGN_OR_RETURN(std::vector<double> lowest,
                      co_await AttackDeletions(c, &held, std::move(deletions)));

  CertifiedAttack attack;
  attack.steps = c->options().attack_steps;
  attack.step_size = c->options().attack_step_size;
  attack.restarts = c->options().attack_restarts;
  attack.margin = worst.front().margin;
  attack.unit_deletion_margins = certificate.unit_deletion_margins;
  attack.position_deletion_margins = certificate.position_deletion_margins;
  certificate.attack = std::move(attack);
  for (size_t i = 0; i < certified.passing.size(); ++i) {
    SetLowest(certified.passing[i], lowest[i], certificate);
  }
  const Effort effort = c->oracle->effort();
  certificate.rounds = effort.rounds;
  certificate.rows = effort.rows + effort.gradient_rows;
  certificate.decision_digest = c->DecisionDigest();
  co_return std::move(certificate);
}

}  // namespace spar::search
