// L3. What the result is worth: precision and contrast on samples that the
// search did not use, and one sentence about them.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/status.h"
#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kFreshSamples = 512;
constexpr int kChunk = 128;

Estimate EstimateOf(int count, int num_samples) {
  Estimate estimate;
  if (num_samples == 0) return estimate;
  constexpr double kZ = 1.959963984540054;  // 95 %
  const double n = num_samples;
  const double share = count / n;
  const double centre = share + kZ * kZ / (2 * n);
  const double spread =
      kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  estimate.value = share;
  estimate.low = std::max(0.0, (centre - spread) / (1 + kZ * kZ / n));
  estimate.high = std::min(1.0, (centre + spread) / (1 + kZ * kZ / n));
  estimate.num_samples = num_samples;
  return estimate;
}

Search<Estimate> FreshPrecision(Case* c, models::IndexSet positions) {
  auto samples = std::make_shared<const Samples>(
      DrawReplacements(*c, Draw::kFreshSamples, kFreshSamples));
  int count = 0;
  int num_samples = 0;
  while (num_samples < kFreshSamples) {
    const int end = std::min(kFreshSamples, num_samples + kChunk);
    std::vector<models::IndexSet> sets(1, positions);
    absl::StatusOr<std::vector<int>> counts =
        co_await CountSaying(c, std::move(sets), samples, num_samples, end);
    if (!counts.ok()) {
      if (Oracle::BudgetEnded(counts.status())) break;
      co_return counts.status();
    }
    count += counts->front();
    num_samples = end;
  }
  co_return EstimateOf(count, num_samples);
}

Search<Estimate> FreshContrast(Case* c, Restriction restriction) {
  CO_ASSIGN_OR_RETURN(
      std::vector<Control> controls,
      co_await FindControls(c, restriction.positions, Draw::kFreshControls));
  std::vector<models::Row> rows;
  for (const Control& control : controls) {
    rows.push_back(c->ControlRow(control, restriction));
  }
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(rows)));
  const int others =
      static_cast<int>(std::count(says.begin(), says.end(), false));
  co_return EstimateOf(others, static_cast<int>(says.size()));
}

std::string Percent(double share) {
  return base::Cat(static_cast<int>(std::lround(100 * share)), " %");
}

std::string Positions(const Restriction& restriction) {
  const int count = restriction.positions.Count();
  return count == 1 ? std::string("this 1 position")
                    : base::Cat("these ", count, " positions");
}

std::string RemarkOf(const Explanation& explanation,
                     const Restriction& restriction,
                     bool of_decomposition,
                     bool precise) {
  const Estimate& precision = explanation.precision;
  const Estimate& contrast = explanation.contrast;
  if (precision.num_samples == 0) {
    return "sufficient; whether it is telling could not be measured: no "
           "samples (reference prompts or budget)";
  }
  if (explanation.telling) {
    return base::Cat(
        "sufficient and telling: the full model says the same on ",
        Percent(precision.value), " of prompts that share ",
        Positions(restriction), ", and these units say something else on ",
        Percent(contrast.value), " of the prompts where the full model does");
  }
  const std::string remark = "sufficient but not telling: ";
  if (explanation.verdict == Verdict::kPrior) {
    return base::Cat(
        "sufficient but not telling: the scaffold alone says this, without "
        "any ",
        of_decomposition ? "subcomponent" : "head or neuron");
  }
  if (!precise) {
    return remark + base::Cat("on ", Percent(1 - precision.value),
                              " of prompts that share ", Positions(restriction),
                              " the full model says something else");
  }
  if (contrast.num_samples == 0) {
    return remark +
           "no prompt was found on which the full model says "
           "something else";
  }
  return remark + base::Cat("on ", Percent(1 - contrast.value),
                            " of the prompts where the full model says "
                            "something else, these units say the same");
}

}  // namespace

Search<Nothing> Assess(Case* c,
                       Restriction restriction,
                       Explanation* explanation) {
  c->phase = Phase::kAssessment;
  if (!c->subject.reference_prompts.empty()) {
    CO_ASSIGN_OR_RETURN(explanation->precision,
                        co_await FreshPrecision(c, restriction.positions));
    absl::StatusOr<Estimate> contrast = co_await FreshContrast(c, restriction);
    if (contrast.ok()) {
      explanation->contrast = *contrast;
    } else if (!Oracle::BudgetEnded(contrast.status())) {
      co_return contrast.status();
    }
  }
  const bool precise =
      explanation->precision.num_samples > 0 &&
      explanation->precision.value >= c->options().precision_threshold;
  const bool contrasting =
      explanation->contrast.num_samples > 0 &&
      explanation->contrast.value >= c->options().contrast_threshold;
  explanation->telling = precise && contrasting;
  explanation->remark =
      RemarkOf(*explanation, restriction, c->decomposition != nullptr, precise);
  co_return Nothing();
}

}  // namespace spar::search
