// L3. contrast(S, T): S must say something else where the full model does.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kCandidates = 64;  // tried, of each kind
constexpr int kControls = 24;    // kept, of each kind
constexpr int kGrowthRows = 16;  // gradient rows, of the prompt and of controls

// Reference prompts for this draw, long enough, in a drawn order. The search's
// draw and the fresh one share none.
Samples ReferenceCandidates(const Case& c, int min_length, Draw draw) {
  const auto& prompts = c.subject.reference_prompts;
  const uint64_t seed = c.options().seed;
  std::vector<size_t> indices;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const bool fresh = RandomBits(seed, Draw::kControls, i, 1) % 2 == 0;
    if (fresh != (draw == Draw::kFreshControls)) continue;
    const int length = static_cast<int>(prompts[i].size());
    if (length < min_length || !c.units.Fits(length)) continue;
    if (prompts[i] != c.tokens()) indices.push_back(i);
  }
  std::stable_sort(indices.begin(), indices.end(), [&](size_t a, size_t b) {
    return RandomBits(seed, draw, a, 0) < RandomBits(seed, draw, b, 0);
  });
  Samples candidates;
  for (const size_t index : indices) {
    if (static_cast<int>(candidates.size()) == kCandidates) break;
    candidates.push_back(prompts[index]);
  }
  return candidates;
}

// The question's prompt with every token but the last replaced.
Samples ReplacedCandidates(const Case& c, Draw draw) {
  models::IndexSet last(c.num_tokens());
  last.Insert(c.num_tokens() - 1);
  Samples candidates;
  for (const auto& replacement : DrawReplacements(c, draw, kCandidates)) {
    candidates.push_back(SampleOf(c.tokens(), last, replacement));
  }
  return candidates;
}

models::GradientRow GrowthRow(const Case& c,
                              const models::Row& row,
                              const models::IndexSet& units,
                              const std::vector<models::UnitId>& live,
                              int index) {
  models::GradientRow gradient_row;
  gradient_row.prompt = row.prompt;
  gradient_row.positions = row.positions;
  const int length = static_cast<int>(row.prompt->tokens.size());
  gradient_row.masks = c.units.MasksOn(length, units);
  const double density = (index % kGrowthRows + 0.5) / kGrowthRows;
  for (const models::UnitId id : live) {
    if (RandomUnit(c.options().seed, Draw::kGrowth, index, id) < density) {
      gradient_row.masks[c.units.IdOn(length, id)] = 1.0f;
    }
  }
  return gradient_row;
}

// Units outside S: those first that raise the target on the prompt and lower it
// on the controls where S wrongly says it, on the path from S to all.
Search<std::vector<int32_t>> GrowthOrder(Case* c, Restriction at) {
  std::vector<models::Row> rows;
  for (const Control& control : c->controls) {
    rows.push_back(c->ControlRow(control, at));
  }
  std::vector<models::Row> asked = rows;
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(asked)));
  // The prompt's own, then the controls where S says the target.
  std::vector<models::Row> paths(kGrowthRows, c->RowOf(at));
  for (size_t i = 0; i < rows.size(); ++i) {
    if (says[i] && paths.size() < 2 * kGrowthRows) paths.push_back(rows[i]);
  }
  const int num_wrong = static_cast<int>(paths.size()) - kGrowthRows;
  const std::vector<models::UnitId> live = c->units.Live(at.positions);
  std::vector<double> score(c->units.size(), 0.0);
  int universe = 1;
  for (const models::Row& row : paths) {
    universe = std::max(universe, row.units.universe());
  }
  const size_t round = GradientRowsOfARound(universe);
  for (size_t begin = 0; begin < paths.size(); begin += round) {
    const size_t end = std::min(paths.size(), begin + round);
    std::vector<models::GradientRow> gradient_rows;
    for (size_t i = begin; i < end; ++i) {
      gradient_rows.push_back(
          GrowthRow(*c, paths[i], at.units, live, static_cast<int>(i)));
    }
    CO_ASSIGN_OR_RETURN(
        std::vector<models::RowGradient> gradients,
        co_await c->oracle->Gradients(std::move(gradient_rows)));
    for (size_t i = begin; i < end; ++i) {
      const std::vector<float>& gradient = gradients[i - begin].gradient;
      const int length = static_cast<int>(paths[i].prompt->tokens.size());
      const bool own = i < size_t{kGrowthRows};
      for (const models::UnitId id : live) {
        const float slope = gradient[c->units.IdOn(length, id)];
        score[id] += own ? slope / kGrowthRows : -(slope / num_wrong);
      }
    }
  }
  std::vector<int32_t> order;
  for (const models::UnitId id : live) {
    if (!at.units.Contains(id)) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return score[a] > score[b]; });
  co_return order;
}

}  // namespace

Search<std::vector<Control>> FindControls(Case* c,
                                          models::IndexSet positions,
                                          Draw draw) {
  const int min_length = c->num_tokens() - positions.Members().front();
  Samples candidates = ReferenceCandidates(*c, min_length, draw);
  const size_t num_reference = candidates.size();
  for (auto& candidate : ReplacedCandidates(*c, draw)) {
    candidates.push_back(std::move(candidate));
  }
  std::vector<models::Row> rows;
  for (const auto& candidate : candidates) {
    rows.push_back(c->FullRow(candidate));
  }
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(rows)));
  std::vector<Control> controls;
  int num_kept[2] = {0, 0};
  for (size_t i = 0; i < candidates.size(); ++i) {
    int& kept = num_kept[i < num_reference ? 0 : 1];
    if (says[i] || kept == kControls) continue;
    controls.push_back(c->ControlOf(std::move(candidates[i])));
    ++kept;
  }
  co_return controls;
}

Search<Nothing> PrepareContrast(Case* c, models::IndexSet positions) {
  CO_ASSIGN_OR_RETURN(c->controls,
                      co_await FindControls(c, positions, Draw::kControls));
  if (c->controls.empty() || c->options().contrast_threshold <= 0) {
    c->controls.clear();
    co_return Nothing();
  }
  Restriction everything;
  everything.units = c->AllUnits();
  everything.positions = positions;
  c->contrast_bar = c->options().contrast_threshold;
  const int everything_size = everything.units.Count();
  std::vector<Restriction> asked(1, everything);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(asked)));
  c->Decide(Decision::kContrast, everything_size, trials.front().passes);
  if (!trials.front().passes) {
    c->contrast_bar = 0;
    c->controls.clear();
  }
  co_return Nothing();
}

Search<Verified> GrowForContrast(Case* c, Verified start) {
  if (c->contrast_bar <= 0) co_return start;
  std::vector<Restriction> asked(1, start.restriction);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(asked)));
  c->Decide(Decision::kContrast, start.restriction.units.Count(),
            trials.front().passes);
  if (trials.front().passes) co_return start;

  c->phase = Phase::kPrefix;
  CO_ASSIGN_OR_RETURN(std::vector<int32_t> order,
                      co_await GrowthOrder(c, start.restriction));
  std::vector<std::vector<int32_t>> orders(1, order);
  CO_ASSIGN_OR_RETURN(std::optional<Prefix> prefix,
                      co_await FindPrefix(c, start.restriction,
                                          std::move(orders), Axis::kUnits));
  if (!prefix.has_value()) {  // T shrank, and now no S tells the controls apart
    c->contrast_bar = 0;
    c->controls.clear();
    co_return start;
  }
  Verified grown = start;
  for (int i = 0; i < prefix->size; ++i) {
    grown.restriction.units.Insert(order[i]);
  }
  grown.margin = prefix->margin;
  c->Keep(grown.restriction, grown.margin);
  co_return co_await ShrinkUnits(c, grown);
}

}  // namespace spar::search
