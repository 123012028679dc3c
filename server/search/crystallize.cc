// L3. The search, as search.md §3.2 lists it.
#include <algorithm>
#include <string>
#include <utility>

#include "server/search/phases.h"
#include "server/search/robust.h"

namespace spar::search {
namespace {

// Canonical margins of prefixes of the units by score: evidence for
// DISTRIBUTED.
Search<std::vector<std::pair<double, double>>> MarginCurve(
    Case* c, models::IndexSet positions) {
  constexpr double kShares[] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0};
  CO_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> orders,
                      co_await ScoreUnits(c, positions, kManyScoreRows));
  const std::vector<int32_t>& order = orders.front();
  const int num_units = static_cast<int>(c->candidates.size());
  std::vector<double> shares;
  std::vector<models::Row> rows;
  int last = -1;
  for (const double share : kShares) {
    const int size = std::min(static_cast<int>(share * num_units),
                              static_cast<int>(order.size()));
    if (size == last) continue;
    last = size;
    Restriction restriction;
    restriction.positions = positions;
    restriction.units = c->NoUnits();
    for (int i = 0; i < size; ++i) restriction.units.Insert(order[i]);
    rows.push_back(c->RowOf(restriction));
    shares.push_back(static_cast<double>(size) / num_units);
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<models::RowResult> results,
      co_await c->oracle->Evaluate(std::move(rows), schedule::Sharing::kAlone));
  std::vector<std::pair<double, double>> curve;
  for (size_t i = 0; i < results.size(); ++i) {
    curve.push_back(std::make_pair(shares[i], double{results[i].margin}));
  }
  co_return curve;
}

// T again given S, and S again if T shrank, until neither changes.
Search<Verified> Alternate(Case* c, Verified start) {
  Verified now = start;
  while (true) {
    const models::IndexSet before = now.restriction.positions;
    if (c->grounded()) {
      CO_ASSIGN_OR_RETURN(now, co_await ShrinkGroundedPositions(c, now));
    } else {
      CO_ASSIGN_OR_RETURN(now, co_await ShrinkPositions(c, now));
    }
    if (now.restriction.positions == before) co_return now;
    CO_ASSIGN_OR_RETURN(now, co_await GrowForContrast(c, now));
    CO_ASSIGN_OR_RETURN(now, co_await ShrinkUnits(c, now));
  }
}

// A smaller S by add-and-prune; the budget's end only ends the trying.
Search<Verified> ImproveWithinBudget(Case* c, Verified start) {
  const int64_t certificate_rows =
      start.restriction.units.Count() + start.restriction.positions.Count() + 2;
  c->oracle->Reserve(certificate_rows);
  absl::StatusOr<Verified> improved = co_await Improve(c, start);
  c->oracle->Reserve(0);
  if (improved.ok()) co_return *std::move(improved);
  if (!Oracle::BudgetEnded(improved.status())) co_return improved.status();
  Verified best;
  best.restriction = c->best;
  best.margin = c->best_margin;
  co_return best;
}

// T for all units, and S at T. Given units are first judged where they came
// from: at all positions, unless T is a matter of its own.
Search<Verified> FindSets(Case* c) {
  const auto& initial = c->question.initial_units;
  Restriction start;
  start.positions = c->AllPositions();
  if (c->grounded()) {
    CO_ASSIGN_OR_RETURN(Verified grounded, co_await GroundPositions(c));
    start.positions = grounded.restriction.positions;
  } else if (!initial.has_value()) {
    CO_ASSIGN_OR_RETURN(Verified found, co_await FindPositions(c));
    start.positions = found.restriction.positions;
  }
  if (!initial.has_value()) co_return co_await FindUnits(c, start.positions);
  start.units = models::IndexSet(c->units.size(), *initial);
  co_return co_await FindUnitsFrom(c, start);
}

// S and T with a complete certificate.
Search<Certificate> FindExplanation(Case* c) {
  CO_ASSIGN_OR_RETURN(Verified now, co_await FindSets(c));
  if (c->grounded()) {
    CO_RETURN_IF_ERROR(
        (co_await PrepareContrast(c, now.restriction.positions)).status());
    CO_ASSIGN_OR_RETURN(now, co_await GrowForContrast(c, now));
  }
  CO_ASSIGN_OR_RETURN(now, co_await Alternate(c, now));
  const models::IndexSet units = now.restriction.units;
  if (!c->question.initial_units.has_value()) {
    CO_ASSIGN_OR_RETURN(now, co_await ImproveWithinBudget(c, now));
  }
  if (!(now.restriction.units == units)) {
    CO_ASSIGN_OR_RETURN(now, co_await Alternate(c, now));
  }
  if (c->options().attack_steps > 0) co_return co_await MakeRobust(c, now);
  while (true) {
    CO_ASSIGN_OR_RETURN(Certified certified,
                        co_await Certify(c, now.restriction));
    if (certified.passing.empty()) co_return std::move(certified.certificate);
    const Passing& first = certified.passing.front();
    now.restriction = Without(now.restriction, first.axis, first.item);
    CO_ASSIGN_OR_RETURN(now, co_await GrowForContrast(c, now));
    CO_ASSIGN_OR_RETURN(now, co_await ShrinkUnits(c, now));
    CO_ASSIGN_OR_RETURN(now, co_await Alternate(c, now));
  }
}

void Fill(const Case& c,
          const Restriction& restriction,
          double margin,
          Explanation& explanation) {
  explanation.units = restriction.units.Members();
  explanation.positions = restriction.positions.Members();
  explanation.margin = margin;
  explanation.parameter_share =
      static_cast<double>(c.units.Parameters(explanation.units)) /
      static_cast<double>(std::max<int64_t>(1, c.subject.info->num_parameters));
}

Verdict VerdictOf(const Case& c, const Restriction& restriction) {
  const int size = restriction.units.Count();
  if (size == 0) return Verdict::kPrior;
  const double share =
      static_cast<double>(size) / static_cast<double>(c.candidates.size());
  return share > c.options().sparse_fraction ? Verdict::kDistributed
                                             : Verdict::kCrystallized;
}

// Necessity: whether the units outside S, on the whole prompt, say it too.
Search<Nothing> MeasureComplement(Case* c,
                                  Restriction restriction,
                                  Explanation* explanation) {
  Restriction complement;
  complement.units = c->AllUnits();
  for (const int32_t id : restriction.units.Members()) {
    complement.units.Remove(id);
  }
  complement.positions = c->AllPositions();
  std::vector<models::Row> rows(1, c->RowOf(complement));
  absl::StatusOr<std::vector<models::RowResult>> results =
      co_await c->oracle->Evaluate(std::move(rows), schedule::Sharing::kAlone);
  if (results.ok()) {
    explanation->margin_complement = results->front().margin;
  } else if (!Oracle::BudgetEnded(results.status())) {
    co_return results.status();
  }
  co_return Nothing();
}

// Everything after the baseline.
Search<Nothing> Answer(Case* c, Explanation* explanation) {
  CO_ASSIGN_OR_RETURN(Certificate certificate, co_await FindExplanation(c));
  const Restriction restriction = c->best;
  Fill(*c, restriction, certificate.margin, *explanation);
  explanation->margin_empty = certificate.margin_empty;
  explanation->verdict = VerdictOf(*c, restriction);
  explanation->certificate = std::move(certificate);
  if (explanation->verdict == Verdict::kDistributed) {
    absl::StatusOr<std::vector<std::pair<double, double>>> curve =
        co_await MarginCurve(c, restriction.positions);
    if (curve.ok()) {
      explanation->margin_curve = *std::move(curve);
    } else if (!Oracle::BudgetEnded(curve.status())) {
      co_return curve.status();
    }
  }
  CO_RETURN_IF_ERROR(
      (co_await MeasureComplement(c, restriction, explanation)).status());
  co_return co_await Assess(c, restriction, explanation);
}

std::string BudgetRemark(const Case& c) {
  if (c.options().attack_steps > 0 &&
      (!c.robustness.has_value() || !c.robustness->holds)) {
    return "the budget ended before a set was found that holds against the "
           "attack: the smallest set so far that is sufficient without one is "
           "given";
  }
  return "the budget ended first: the smallest verified sets so far are given, "
         "and a smaller one may exist";
}

}  // namespace

Search<Explanation> Crystallize(Case* c) {
  Explanation explanation;
  explanation.tokens = c->tokens();
  explanation.num_units = static_cast<int>(c->candidates.size());
  absl::StatusOr<bool> stable = co_await Baseline(c);
  absl::Status status = stable.status();
  if (stable.ok() && *stable) {
    absl::StatusOr<Nothing> answer = co_await Answer(c, &explanation);
    status = answer.status();
  }
  if (!status.ok() && !Oracle::BudgetEnded(status)) co_return status;
  explanation.target = c->prompt->target;
  explanation.margin_full = c->margin_full;
  if (!status.ok()) {
    explanation.verdict = Verdict::kBudgetExhausted;
    if (c->has_best) Fill(*c, c->best, c->best_margin, explanation);
    explanation.remark = BudgetRemark(*c);
  } else if (!*stable) {
    explanation.verdict = Verdict::kUnstable;
    explanation.margin = c->margin_full;
    explanation.remark =
        "the full model does not say the target by a clear margin";
  }
  explanation.robustness = c->robustness;
  explanation.last_phase = c->phase;
  explanation.effort = c->oracle->effort();
  co_return explanation;
}

}  // namespace spar::search
