#include "models/fake_pruning.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/log_softmax.h"
#include "models/unit_table.h"

namespace spar::models {
namespace {

class FakePruning final : public Pruning {
 public:
  FakePruning(const FakeDecomposition& decomposition,
              const PruneRequest& request,
              FakePromptLogits logits)
      : decomposition_(decomposition),
        request_(request),
        logits_(std::move(logits)) {
    for (size_t p = 0; p < request_.prompts.size(); ++p) {
      alive_.push_back(AliveNodes(PromptOf(p)));
      for (size_t c = 0; c < request_.coefficients.size(); ++c) {
        PruneState& state = states_.emplace_back();
        state.prompt = static_cast<int>(p);
        state.coefficient = static_cast<int>(c);
      }
    }
  }

  bool done() const override { return states_.front().ended; }
  const std::vector<PruneState>& states() const override { return states_; }

  absl::StatusOr<std::vector<PrunedRow>> Next() override {
    std::vector<PrunedRow> rows;
    for (PruneState& state : states_) {
      if (state.ended) continue;
      ++state.steps;
      state.ended = state.steps == request_.steps;
      PrunedRow row = RowOf(state);
      state.size = std::ssize(row.nodes);
      state.losses = row.losses;
      if (state.ended) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  // The prompt up to the position that is read.
  Prompt PromptOf(size_t index) const {
    const PrunePrompt& from = request_.prompts[index];
    Prompt prompt;
    prompt.tokens = from.tokens;
    if (from.position != kLastPosition) {
      prompt.tokens.resize(static_cast<size_t>(from.position) + 1);
    }
    prompt.space = UnitSpace::kNodes;
    prompt.decomposition = request_.decomposition;
    return prompt;
  }

  std::vector<PrunedNode> AliveNodes(const Prompt& prompt) const {
    const PromptImportances importances = decomposition_.Run(
        prompt.tokens, {.threshold = request_.alive_threshold});
    std::vector<PrunedNode> nodes;
    for (size_t m = 0; m < importances.modules.size(); ++m) {
      const ModuleImportances& module = importances.modules[m];
      for (size_t t = 0; t + 1 < module.begin.size(); ++t) {
        for (int64_t i = module.begin[t]; i < module.begin[t + 1]; ++i) {
          nodes.push_back({.module = static_cast<int32_t>(m),
                           .position = static_cast<int32_t>(t),
                           .component = module.component[i],
                           .importance = module.importance[i]});
        }
      }
    }
    return nodes;
  }

  PrunedRow RowOf(const PruneState& state) const {
    const double price =
        request_.coefficients[state.coefficient] * state.steps / request_.steps;
    const Prompt prompt = PromptOf(state.prompt);
    PrunedRow row;
    row.prompt = state.prompt;
    row.coefficient = state.coefficient;
    row.position = static_cast<int32_t>(prompt.tokens.size()) - 1;
    row.num_parameters = std::ssize(alive_[state.prompt]);
    for (PrunedNode node : alive_[state.prompt]) {
      if (node.importance <= price) continue;
      node.importance = 1;
      row.nodes.push_back(node);
    }
    row.l0 = static_cast<double>(row.nodes.size()) /
             static_cast<double>(prompt.tokens.size());
    row.steps = state.steps;

    const UnitTable units =
        MakeUnitTable(decomposition_.info().spec, UnitSpace::kNodes,
                      static_cast<int>(prompt.tokens.size()));
    const std::vector<float> ones(static_cast<size_t>(units.size()), 1.0f);
    std::vector<float> masks(ones.size(), 0.0f);
    for (const PrunedNode& node : row.nodes) {
      masks[units.Id({.kind = UnitKind::kSubcomponent,
                      .index = node.component,
                      .module = node.module,
                      .position = node.position})] = 1.0f;
    }
    const std::vector<double> model = logits_(prompt, ones);
    row.target =
        request_.prompts[state.prompt].target.value_or(static_cast<TokenId>(
            std::max_element(model.begin(), model.end()) - model.begin()));
    row.model = Read(model, model, row.target);
    row.masked = row.rounded = Read(model, logits_(prompt, masks), row.target);
    if (request_.adversary.has_value()) row.attacked = row.masked;
    row.losses.masked = request_.loss == PruneLoss::kCrossEntropy
                            ? row.masked.cross_entropy
                            : row.masked.kl;
    row.losses.price = row.l0;
    row.losses.total =
        request_.weight * row.losses.masked + price * row.losses.price;
    return row;
  }

  static PruneReading Read(const std::vector<double>& model,
                           const std::vector<double>& run,
                           TokenId target) {
    const std::vector<double> model_p = LogSoftmax(model);
    const std::vector<double> run_p = LogSoftmax(run);
    PruneReading reading;
    double other = -INFINITY;
    for (size_t i = 0; i < run.size(); ++i) {
      reading.kl += std::exp(model_p[i]) * (model_p[i] - run_p[i]);
      if (static_cast<TokenId>(i) != target) other = std::max(other, run[i]);
    }
    reading.cross_entropy = -run_p[target];
    reading.probability = std::exp(run_p[target]);
    reading.margin = run[target] - other;
    return reading;
  }

  const FakeDecomposition& decomposition_;
  const PruneRequest request_;
  const FakePromptLogits logits_;
  std::vector<std::vector<PrunedNode>> alive_;  // [prompt]
  std::vector<PruneState> states_;
};

}  // namespace

std::unique_ptr<Pruning> MakeFakePruning(const FakeDecomposition& decomposition,
                                         const PruneRequest& request,
                                         FakePromptLogits logits) {
  return std::make_unique<FakePruning>(decomposition, request,
                                       std::move(logits));
}

}  // namespace spar::models
