// L3. Certificate rounds: every number of a certificate, measured alone.
#include <cmath>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

Certificate Describe(const Case& c, const Restriction& restriction) {
  const Subject& subject = c.subject;
  const CrystallizeOptions& options = c.options();
  Certificate certificate;
  certificate.model_digest = subject.info->digest;
  certificate.weights_digest = subject.info->weights_digest;
  certificate.config_json = subject.info->config_json;
  certificate.scheme = options.scheme;
  if (c.decomposition != nullptr) {
    certificate.decomposition_digest = c.decomposition->digest;
  }
  certificate.num_units = static_cast<int>(c.candidates.size());
  certificate.mode = options.mode;
  certificate.reference = options.reference;
  certificate.reference_digest =
      options.reference == models::ReferenceKind::kZero ? subject.zero_digest
                                                        : subject.mean_digest;
  certificate.position_mode = options.position_mode;
  certificate.dtype = subject.info->dtype;
  certificate.device = subject.info->device;
  certificate.tokens = c.tokens();
  certificate.target = c.prompt->target;
  certificate.tau = options.tau;
  certificate.tau_acc = c.tau_acc;
  certificate.required_margin = c.required_margin;
  certificate.pin_first = options.pin_first;
  certificate.units = restriction.units.Members();
  for (const models::UnitId id : certificate.units) {
    certificate.unit_names.push_back(c.units.table().Name(id));
  }
  certificate.positions = restriction.positions.Members();
  certificate.margin_full = c.margin_full;
  certificate.seed = options.seed;
  if (c.grounded()) {
    certificate.precision_threshold = options.precision_threshold;
    certificate.replacements = *c.replacements;
    certificate.contrast_threshold = c.contrast_bar;
    for (const Control& control : c.controls) {
      certificate.controls.push_back(control->tokens);
    }
  }
  return certificate;
}

// The deletions that a certificate speaks of, in its order.
std::vector<Passing> Deletions(const Case& c, const Restriction& restriction) {
  std::vector<Passing> deletions;
  for (const int32_t id : restriction.units.Members()) {
    Passing deletion;
    deletion.axis = Axis::kUnits;
    deletion.item = id;
    deletions.push_back(deletion);
  }
  for (const int32_t t : c.FreePositions(restriction.positions)) {
    Passing deletion;
    deletion.axis = Axis::kPositions;
    deletion.item = t;
    deletions.push_back(deletion);
  }
  return deletions;
}

// GROUNDED: the contrast of S without a unit, the precision of T without a
// position; -1 where the margin refuses already, or nothing is asked.
Search<std::vector<double>> SecondNumbers(Case* c,
                                          Restriction restriction,
                                          std::vector<Passing> deletions,
                                          std::vector<double> margins) {
  std::vector<double> numbers(deletions.size(), -1.0);
  if (!c->grounded()) co_return numbers;
  std::vector<models::Row> control_rows;
  std::vector<models::IndexSet> sets;
  for (size_t i = 0; i < deletions.size(); ++i) {
    if (margins[i] <= c->required_margin) continue;
    const Restriction trial =
        Without(restriction, deletions[i].axis, deletions[i].item);
    if (deletions[i].axis == Axis::kPositions) {
      sets.push_back(trial.positions);
    } else if (c->contrast_bar > 0) {
      for (const Control& control : c->controls) {
        control_rows.push_back(c->ControlRow(control, trial));
      }
    }
  }
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(control_rows)));
  const int num_samples = static_cast<int>(c->replacements->size());
  CO_ASSIGN_OR_RETURN(std::vector<int> counts,
                      co_await CountSaying(c, std::move(sets), c->replacements,
                                           0, num_samples));
  const size_t num_controls = c->controls.size();
  size_t next_says = 0;
  size_t next_count = 0;
  for (size_t i = 0; i < deletions.size(); ++i) {
    if (margins[i] <= c->required_margin) continue;
    if (deletions[i].axis == Axis::kPositions) {
      numbers[i] = static_cast<double>(counts[next_count++]) / num_samples;
    } else if (c->contrast_bar > 0) {
      int others = 0;
      for (size_t j = 0; j < num_controls; ++j) others += !says[next_says++];
      numbers[i] = static_cast<double>(others) / num_controls;
    }
  }
  co_return numbers;
}

bool Refused(const Case& c, Axis axis, double margin, double number) {
  if (margin <= c.required_margin) return true;
  if (number < 0) return false;
  return number < (axis == Axis::kUnits ? c.contrast_bar
                                        : c.options().precision_threshold);
}

}  // namespace

Search<Certified> Certify(Case* c, Restriction restriction) {
  c->phase = Phase::kCertificate;
  const std::vector<Passing> deletions = Deletions(*c, restriction);
  std::vector<models::Row> rows;
  rows.push_back(c->RowOf(restriction));
  Restriction nothing = restriction;
  nothing.units = c->NoUnits();
  rows.push_back(c->RowOf(nothing));
  // The deletion of an only unit is the row without units.
  const bool only_unit = restriction.units.Count() == 1;
  for (const Passing& deletion : deletions) {
    if (only_unit && deletion.axis == Axis::kUnits) continue;
    const Restriction trial =
        Without(restriction, deletion.axis, deletion.item);
    rows.push_back(c->RowOf(trial));
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<models::RowResult> results,
      co_await c->oracle->Evaluate(std::move(rows), schedule::Sharing::kAlone));
  std::vector<double> margins;
  for (size_t i = only_unit ? 1 : 2; i < results.size(); ++i) {
    margins.push_back(results[i].margin);
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<double> numbers,
      co_await SecondNumbers(c, restriction, deletions, margins));

  Certified certified;
  certified.certificate = Describe(*c, restriction);
  Certificate& certificate = certified.certificate;
  certificate.margin = results[0].margin;
  certificate.margin_empty = results[1].margin;
  const auto near = [c](double margin) {
    return std::abs(margin - c->required_margin) <= c->noise;
  };
  certificate.num_borderline = near(certificate.margin);
  for (size_t i = 0; i < deletions.size(); ++i) {
    const Axis axis = deletions[i].axis;
    certificate.num_borderline += near(margins[i]);
    if (axis == Axis::kUnits) {
      certificate.unit_deletion_margins.push_back(margins[i]);
      if (c->grounded()) {
        certificate.unit_deletion_contrasts.push_back(numbers[i]);
      }
    } else {
      certificate.position_deletion_margins.push_back(margins[i]);
      if (c->grounded()) {
        certificate.position_deletion_precisions.push_back(numbers[i]);
      }
    }
    if (!Refused(*c, axis, margins[i], numbers[i])) {
      certified.passing.push_back(deletions[i]);
    }
  }
  c->margin_empty = certificate.margin_empty;
  const Effort effort = c->oracle->effort();
  certificate.rounds = effort.rounds;
  certificate.rows = effort.rows + effort.gradient_rows;
  certificate.decision_digest = c->DecisionDigest();
  co_return certified;
}

}  // namespace spar::search
