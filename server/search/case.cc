// L3. Rows of a question, and the one judgement that every phase uses.
#include "server/search/case.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

QuestionUnits UnitsOf(const Subject& subject,
                      const Question& question,
                      const models::DecompositionInfo* decomposition) {
  return QuestionUnits(
      *subject.units, decomposition == nullptr ? nullptr : &decomposition->spec,
      question.options.scheme, static_cast<int>(question.tokens.size()));
}

}  // namespace

Case::Case(const Subject& the_subject,
           Question the_question,
           Oracle* the_oracle,
           OnEvent on_event)
    : subject(the_subject),
      question(std::move(the_question)),
      oracle(the_oracle),
      decomposition(FindDecomposition(subject.decompositions,
                                      question.options.decomposition)),
      units(UnitsOf(subject, question, decomposition)),
      candidates(units.Live(AllPositions())),
      tau_acc(question.options.tau + 10 * subject.calibration->noise_floor),
      noise(10 * subject.calibration->noise_floor),
      required_margin(tau_acc),
      on_event_(std::move(on_event)) {}

models::IndexSet Case::AllUnits() const {
  return models::IndexSet(units.size(), candidates);
}

models::IndexSet Case::FixedPositions() const {
  models::IndexSet fixed(num_tokens());
  fixed.Insert(num_tokens() - 1);
  if (options().pin_first) fixed.Insert(0);
  return fixed;
}

std::vector<int32_t> Case::FreePositions(
    const models::IndexSet& positions) const {
  std::vector<int32_t> free = positions.Members();
  std::erase_if(free, [this](int32_t t) { return IsFixed(t); });
  return free;
}

models::GradientRow Case::GradientRowOf(const models::IndexSet& positions,
                                        std::vector<float> masks) const {
  models::GradientRow row;
  row.prompt = prompt;
  row.masks = std::move(masks);
  row.positions = positions;
  return row;
}

models::Row Case::RowOf(const Restriction& restriction) const {
  models::Row row;
  row.prompt = prompt;
  row.units = units.RowUnits(restriction.units);
  row.positions = restriction.positions;
  return row;
}

models::Row Case::ControlRow(const Control& control,
                             const Restriction& restriction) const {
  models::Row row;
  row.prompt = control;
  const int length = static_cast<int>(control->tokens.size());
  row.units = units.RowUnitsOn(length, restriction.units);
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
  full->space = models::UnitSpace::kHeadsAndNeurons;
  full->decomposition.clear();
  models::Row row;
  row.units = models::IndexSet::All(subject.units->size());
  row.positions = models::IndexSet::All(static_cast<int>(full->tokens.size()));
  row.prompt = std::move(full);
  return row;
}

Control Case::ControlOf(std::vector<models::TokenId> tokens) const {
  auto control = std::make_shared<models::Prompt>(*prompt);
  control->tokens = std::move(tokens);
  return control;
}

std::vector<float> Case::MasksOf(const models::IndexSet& kept) const {
  return units.MasksOn(num_tokens(), kept);
}

void Case::Keep(const Restriction& restriction, double margin) {
  if (trying || (has_best && best == restriction)) return;
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

void Case::Decide(Decision decision, int item, bool accepted) {
  decisions_ += static_cast<char>(decision);
  decisions_ += base::Cat(item, accepted ? "-" : "+", ";");
}

std::string Case::DecisionDigest() const {
  return models::Sha256Hex(decisions_);
}

const Trial* Case::Known(const Restriction& restriction) const {
  const auto found = known_.find(restriction);
  return found == known_.end() ? nullptr : &found->second;
}

void Case::Remember(const Restriction& restriction, const Trial& trial) {
  const size_t bytes = 8 * (restriction.units.words().size() +
                            restriction.positions.words().size()) +
                       sizeof(Restriction) + sizeof(Trial);
  if ((known_.size() + 1) * bytes <= kKnownBytes) known_[restriction] = trial;
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

// The margins of `restrictions`: measured, or where others may share the batch
// known from before.
static Search<std::vector<Trial>> MeasureMargins(
    Case* c, std::vector<Restriction> restrictions, schedule::Sharing sharing) {
  std::vector<Trial> trials(restrictions.size());
  std::vector<models::Row> rows;
  std::vector<size_t> asked;  // index of each row's restriction
  absl::flat_hash_map<Restriction, size_t> first;  // of equal restrictions
  std::vector<size_t> same_as(restrictions.size());
  for (size_t i = 0; i < restrictions.size(); ++i) {
    const auto [found, is_new] = first.try_emplace(restrictions[i], i);
    same_as[i] = found->second;
    if (!is_new) continue;
    const Trial* const known = c->Known(restrictions[i]);
    if (known != nullptr) trials[i] = *known;
    if (known != nullptr && sharing == schedule::Sharing::kShared) continue;
    rows.push_back(c->RowOf(restrictions[i]));
    asked.push_back(i);
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<double> margins,
      co_await MarginsAgainst(c, std::move(rows), c->required_margin, sharing));
  for (size_t i = 0; i < asked.size(); ++i) {
    trials[asked[i]].margin = margins[i];
    c->Remember(restrictions[asked[i]], trials[asked[i]]);
  }
  for (size_t i = 0; i < trials.size(); ++i) trials[i] = trials[same_as[i]];
  co_return trials;
}

Search<std::vector<Trial>> Judge(Case* c,
                                 std::vector<Restriction> restrictions,
                                 schedule::Sharing sharing) {
  std::vector<Restriction> measured = restrictions;
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await MeasureMargins(c, std::move(measured), sharing));
  const bool contrast = c->contrast_bar > 0;
  std::vector<size_t> asked;
  std::vector<models::Row> control_rows;
  for (size_t i = 0; i < trials.size(); ++i) {
    trials[i].passes = trials[i].margin > c->required_margin;
    if (!contrast || !trials[i].passes || trials[i].contrast >= 0) continue;
    asked.push_back(i);
    for (const Control& control : c->controls) {
      control_rows.push_back(c->ControlRow(control, restrictions[i]));
    }
  }
  if (!contrast) co_return trials;
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(control_rows)));
  const int num_controls = static_cast<int>(c->controls.size());
  size_t next = 0;
  for (const size_t i : asked) {
    int others = 0;
    for (int j = 0; j < num_controls; ++j) others += !says[next++];
    trials[i].contrast = static_cast<double>(others) / num_controls;
    c->Remember(restrictions[i], trials[i]);
  }
  for (Trial& trial : trials) {
    trial.passes = trial.passes && trial.contrast >= c->contrast_bar;
  }
  co_return trials;
}

}  // namespace spar::search
