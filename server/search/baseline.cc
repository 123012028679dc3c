// L3. Phase 0: what the full model says, and by how much.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

std::shared_ptr<const models::Prompt> PromptOf(const Case& c,
                                               models::TokenId target) {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = c.tokens();
  prompt->target = target;
  prompt->reference = c.options().reference;
  prompt->position_mode = c.options().position_mode;
  prompt->space = c.units.space();
  prompt->decomposition = c.options().decomposition;
  return prompt;
}

// The full model on the question's prompt, alone as a certificate's rows are.
Search<models::RowResult> EvaluateFull(Case* c) {
  std::vector<models::Row> rows;
  rows.push_back(c->FullRow(c->tokens()));
  CO_ASSIGN_OR_RETURN(
      std::vector<models::RowResult> results,
      co_await c->oracle->Evaluate(std::move(rows), schedule::Sharing::kAlone));
  co_return results.front();
}

}  // namespace

Search<bool> Baseline(Case* c) {
  c->phase = Phase::kBaseline;
  c->prompt = PromptOf(*c, c->question.target.value_or(models::kOwnPrediction));
  CO_ASSIGN_OR_RETURN(models::RowResult full, co_await EvaluateFull(c));
  c->prompt = PromptOf(*c, full.target);
  c->margin_full = full.margin;
  if (c->margin_full <= c->tau_acc) co_return false;
  if (c->grounded()) {
    // A share of 1 would refuse the full model itself: leave it its noise.
    const double share = std::min(c->options().margin_share * c->margin_full,
                                  c->margin_full - 2 * c->noise);
    c->required_margin = std::max(c->tau_acc, share);
  }
  Restriction everything;
  everything.units = c->AllUnits();
  everything.positions = c->AllPositions();
  c->Keep(everything, c->margin_full);
  co_return true;
}

}  // namespace spar::search
