// L3. The phases of a crystallize search, named as in search.md §3. Each is a
// coroutine over a Case that outlives it, and keeps the best verified set
// there.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "server/search/case.h"
#include "server/search/random.h"

namespace spar::search {

// A restriction that passes, with its margin.
struct Verified {
  Restriction restriction = {};
  double margin = 0;
};

// baseline.cc: the target, the prompt, margin_full, required_margin. False when
// the full model does not pass.
Search<bool> Baseline(Case* c);

// positions.cc: T for all units: the smallest passing set found, 1-minimal.
Search<Verified> FindPositions(Case* c);
// T given S: deletions only.
Search<Verified> ShrinkPositions(Case* c, Verified start);

// scores.cc: orders of the units that can matter at T, best first, by gradients
// there: over random masks, at no units, and along the path of integrated
// gradients. Of a decomposition one more: by causal importance, then as the
// first.
struct ScoreRows {
  int random_masks = 0;
  int path_points = 0;
};
inline constexpr ScoreRows kFewScoreRows = {8, 2};
inline constexpr ScoreRows kManyScoreRows = {32, 8};
// Gradient rows that are held at a time: many, unless each has very many units.
size_t GradientRowsOfARound(int num_units);
Search<std::vector<std::vector<int32_t>>> ScoreUnits(Case* c,
                                                     models::IndexSet positions,
                                                     ScoreRows rows);
// importance.cc: [unit] causal importance, of a subcomponent the largest over
// `positions`; Delta and what is elsewhere 0. Empty where there is none to ask.
Search<std::vector<double>> ImportanceOfUnits(Case* c,
                                              models::IndexSet positions);
// [unit] What the gradient at `at` says the margin loses without the unit, or
// gains with it.
Search<std::vector<double>> PredictDrops(Case* c, Restriction at);

// prefix.cc: the shortest passing prefix found of any of the orders.
struct Prefix {
  int order = 0;
  int size = 0;
  double margin = 0;
};
Search<std::optional<Prefix>> FindPrefix(
    Case* c,
    Restriction base,  // what every prefix is added to
    std::vector<std::vector<int32_t>> orders,
    Axis axis);

// deletion.cc: the result of this loop, in fewer rounds:
//   repeat: for item in order: if start without item passes, remove it
//   until a pass removes nothing.
Search<Verified> Shrink(Case* c,
                        Verified start,
                        std::vector<int32_t> order,
                        Axis axis);

// units.cc: S given T: scores, prefix, deletion. Leaves the orders in the case.
Search<Verified> FindUnits(Case* c, models::IndexSet positions);
// S at T from the units given: what deletion leaves of them, or of them and the
// shortest prefix that makes them pass.
Search<Verified> FindUnitsFrom(Case* c, Restriction initial);
// `base` with the prefix of the order, pruned.
Search<Verified> ShrinkPrefix(Case* c,
                              Restriction base,
                              Prefix prefix,
                              std::vector<int32_t> order);
// Deletions only, least first.
Search<Verified> ShrinkUnits(Case* c, Verified start);

// improvement.cc: adds a unit and prunes, while that makes S smaller; then
// prunes again from the other orders.
Search<Verified> Improve(Case* c, Verified start);

// precision.cc: per set T, whether the full model says the target on at least
// the share `threshold` of the samples; as if all samples were asked, but sets
// that are decided earlier ask no more.
using Samples = std::vector<std::vector<models::TokenId>>;
Samples DrawReplacements(const Case& c, Draw draw, int count);
std::vector<models::TokenId> SampleOf(
    const std::vector<models::TokenId>& tokens,
    const models::IndexSet& positions,
    const std::vector<models::TokenId>& replacement);
Search<std::vector<bool>> ReachPrecision(
    Case* c,
    std::vector<models::IndexSet> sets,
    std::shared_ptr<const Samples> replacements,
    double threshold);
// How many of replacements [begin, end) the full model says the target on.
Search<std::vector<int>> CountSaying(
    Case* c,
    std::vector<models::IndexSet> sets,
    std::shared_ptr<const Samples> replacements,
    int begin,
    int end);

// grounded.cc: T that holds the full model's prediction (search.md §3.11).
Search<Verified> GroundPositions(Case* c);
// T given S under precision and margin; deletions only.
Search<Verified> ShrinkGroundedPositions(Case* c, Verified start);

// contrast.cc: fills the case's controls, and its contrast_bar if all units
// reach it. Then S that does.
Search<Nothing> PrepareContrast(Case* c, models::IndexSet positions);
Search<std::vector<Control>> FindControls(Case* c,
                                          models::IndexSet positions,
                                          Draw draw);
Search<Verified> GrowForContrast(Case* c, Verified start);

// certify.cc: all single deletions and the margins of (S, T), alone. Deletions
// that pass come back in `passing`; without any there is a certificate.
struct Passing {
  Axis axis = Axis::kUnits;
  int item = 0;
};
struct Certified {
  std::vector<Passing> passing = {};
  Certificate certificate = {};
};
Search<Certified> Certify(Case* c, Restriction restriction);

// assessment.cc: precision and contrast on fresh samples, telling, remark.
// As many samples as the budget allows.
Search<Nothing> Assess(Case* c,
                       Restriction restriction,
                       Explanation* explanation);

// crystallize.cc: the whole search.
Search<Explanation> Crystallize(Case* c);

}  // namespace spar::search
