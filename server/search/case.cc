// L3. Rows of a question, and the one judgement that every phase uses.
#include "server/search/case.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

models::IndexSet OutsideScheme(const models::UnitTable& units,
                               const std::vector<models::UnitId>& candidates) {
  models::IndexSet outside = models::IndexSet::All(units.size());
  for (const models::UnitId id : candidates) outside.Remove(id);
  return outside;
}

}  // namespace

Case::Case(const Subject& the_subject,
           Question the_question,
           Oracle* the_oracle,
           OnEvent on_event)
    : subject(the_subject),
      question(std::move(the_question)),
      oracle(the_oracle),
      candidates(subject.units->Members(question.options.scheme)),
      tau_acc(question.options.tau + 10 * subject.calibration->noise_floor),
      noise(10 * subject.calibration->noise_floor),
      required_margin(tau_acc),
      on_event_(std::move(on_event)),
      outside_scheme_(OutsideScheme(*subject.units, candidates)) {}

models::IndexSet Case::AllUnits() const {
  return models::IndexSet(subject.units->size(), candidates);
}

models::IndexSet Case::FixedPositions() const {
  models::IndexSet fixed(num_tokens());
  fixed.Insert(num_tokens() - 1);
  if (options().pin_first) fixed.Insert(0);
  return fixed;
}

models::Row Case::RowOf(const Restriction& restriction) const {
  models::Row row;
  row.prompt = prompt;
  row.units = restriction.units;
  row.units.UniteWith(outside_scheme_);
  row.positions = restriction.positions;
  return row;
}

models::Row Case::ControlRow(const Control& control,
                             const Restriction& restriction) const {
  models::Row row;
  row.prompt = control;
  row.units = restriction.units;
  row.units.UniteWith(outside_scheme_);
  const int length = static_cast<int>(control->tokens.size());
  row.positions = models::IndexSet(length);
  for (const int32_t position : restriction.positions.Members()) {
    const int moved = position + length - num_tokens();
    if (moved >= 0) row.positions.Insert(moved);
  }
  return row;
}

models::Row Case::FullRow(std::vector<models::TokenId> tokens) const {
  auto full = std::make_shared<models::Prompt>(*prompt);
  full->tokens = std::move(tokens);
  models::Row row;
  row.units = models::IndexSet::All(subject.units->size());
  row.positions = models::IndexSet::All(static_cast<int>(full->tokens.size()));
  row.prompt = std::move(full);
  return row;
}

std::vector<float> Case::MasksOf(const models::IndexSet& units) const {
  std::vector<float> masks(subject.units->size(), 0.0f);
  for (const int32_t id : outside_scheme_.Members()) masks[id] = 1.0f;
  for (const int32_t id : units.Members()) masks[id] = 1.0f;
  return masks;
}

void Case::Keep(const Restriction& restriction, double margin) {
  if (has_best && best == restriction) return;
  best = restriction;
  best_margin = margin;
  has_best = true;
  if (on_event_ == nullptr) return;
  Event event;
  event.sequence = ++sequence_;
  event.phase = phase;
  event.units = restriction.units.Members();
  event.positions = restriction.positions.Members();
  event.margin = margin;
  event.effort = oracle->effort();
  on_event_(event);
}

void Case::Decide(Axis axis, int item, bool accepted) {
  decisions_ += base::Cat(axis == Axis::kUnits ? "u" : "t", item,
                          accepted ? "-" : "+", ";");
}

std::string Case::DecisionDigest() const {
  return models::Sha256Hex(decisions_);
}

Restriction Without(Restriction restriction, Axis axis, int item) {
  Side(restriction, axis).Remove(item);
  return restriction;
}

Restriction With(Restriction restriction, Axis axis, int item) {
  Side(restriction, axis).Insert(item);
  return restriction;
}

// Margins with those near `bar` measured again alone.
static Search<std::vector<double>> MarginsAgainst(Case* c,
                                                  std::vector<models::Row> rows,
                                                  double bar,
                                                  schedule::Sharing sharing) {
  std::vector<models::Row> asked = rows;
  CO_ASSIGN_OR_RETURN(std::vector<models::RowResult> results,
                      co_await c->oracle->Evaluate(std::move(asked), sharing));
  std::vector<double> margins;
  std::vector<models::Row> near_rows;
  std::vector<size_t> near_indices;
  for (size_t i = 0; i < results.size(); ++i) {
    margins.push_back(results[i].margin);
    if (sharing == schedule::Sharing::kAlone) continue;
    if (std::abs(margins[i] - bar) > c->noise) continue;
    near_rows.push_back(rows[i]);
    near_indices.push_back(i);
  }
  CO_ASSIGN_OR_RETURN(std::vector<models::RowResult> again,
                      co_await c->oracle->Evaluate(std::move(near_rows),
                                                   schedule::Sharing::kAlone));
  for (size_t i = 0; i < again.size(); ++i) {
    margins[near_indices[i]] = again[i].margin;
  }
  co_return margins;
}

Search<std::vector<bool>> Says(Case* c, std::vector<models::Row> rows) {
  CO_ASSIGN_OR_RETURN(std::vector<double> margins,
                      co_await MarginsAgainst(c, std::move(rows), 0,
                                              schedule::Sharing::kShared));
  std::vector<bool> says;
  for (const double margin : margins) says.push_back(margin > 0);
  co_return says;
}

Search<std::vector<Trial>> Judge(Case* c,
                                 std::vector<Restriction> restrictions,
                                 schedule::Sharing sharing) {
  std::vector<models::Row> rows;
  for (const Restriction& restriction : restrictions) {
    rows.push_back(c->RowOf(restriction));
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<double> margins,
      co_await MarginsAgainst(c, std::move(rows), c->required_margin, sharing));
  std::vector<Trial> trials(restrictions.size());
  for (size_t i = 0; i < trials.size(); ++i) {
    trials[i].margin = margins[i];
    trials[i].passes = margins[i] > c->required_margin;
  }
  if (c->contrast_bar <= 0) co_return trials;

  std::vector<models::Row> control_rows;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (!trials[i].passes) continue;
    for (const Control& control : c->controls) {
      control_rows.push_back(c->ControlRow(control, restrictions[i]));
    }
  }
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(control_rows)));
  const int num_controls = static_cast<int>(c->controls.size());
  size_t next = 0;
  for (Trial& trial : trials) {
    if (!trial.passes) continue;
    int others = 0;
    for (int i = 0; i < num_controls; ++i) others += !says[next++];
    trial.contrast = static_cast<double>(others) / num_controls;
    trial.passes = trial.contrast >= c->contrast_bar;
  }
  co_return trials;
}

}  // namespace spar::search
