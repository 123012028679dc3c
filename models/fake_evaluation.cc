#include "models/fake_evaluation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "models/log_softmax.h"
#include "models/unit_table.h"

namespace spar::models {
namespace {

// The mask of a subcomponent of importance g, and that of every Delta.
struct FakeMasks {
  std::function<double(double)> of_importance = nullptr;
  double delta = 0;
};

FakeMasks MasksOf(EvaluationMasks masks, double threshold) {
  switch (masks) {
    case EvaluationMasks::kTarget:
      return {[](double) { return 1.0; }, 1.0};
    case EvaluationMasks::kUnmasked:
      return {[](double) { return 1.0; }, 0.0};
    case EvaluationMasks::kCausalImportance:
      return {[](double g) { return g; }, 0.0};
    case EvaluationMasks::kRounded:
      return {[threshold](double g) { return g > threshold ? 1.0 : 0.0; }, 0.0};
    case EvaluationMasks::kStochastic:
      return {[](double g) { return g + (1 - g) / 2; }, 0.5};
    case EvaluationMasks::kRandom:
      return {[](double) { return 0.5; }, 0.0};
    case EvaluationMasks::kZero:
      break;
  }
  return {[](double) { return 0.0; }, 0.0};
}

class FakeEvaluation final : public Evaluation {
 public:
  FakeEvaluation(const FakeDecomposition& decomposition,
                 const EvaluationRequest& request,
                 FakePromptLogits logits)
      : decomposition_(decomposition),
        spec_(decomposition.info().spec),
        request_(request),
        logits_(std::move(logits)),
        all_(spec_.modules.size(), true) {
    state_.max_steps = 1 + std::ssize(request_.subsets);
    if (request_.attack.has_value()) {
      state_.max_steps += std::ssize(request_.attack->scopes);
    }
  }

  bool done() const override { return state_.steps == state_.max_steps; }
  const EvaluationState& state() const override { return state_; }

  absl::StatusOr<std::vector<EvaluationPart>> Next() override {
    std::vector<EvaluationPart> parts;
    if (done()) return parts;
    const int64_t subset = state_.steps - 1;
    const int64_t scope = subset - std::ssize(request_.subsets);
    if (subset < 0) {
      AddAll(parts);
    } else if (scope < 0) {
      state_.phase = EvaluationPhase::kSubset;
      std::vector<bool> masked(spec_.modules.size());
      for (const int m : request_.subsets[subset].modules) masked[m] = true;
      AddMasked(static_cast<int>(subset), masked, parts);
    } else {
      state_.phase = EvaluationPhase::kAttack;
      parts.emplace_back(Curve(request_.attack->scopes[scope]));
    }
    ++state_.steps;
    return parts;
  }

 private:
  struct Sums {
    double kl = 0;
    double cross_entropy = 0;
    int64_t positions = 0;
    int64_t next_tokens = 0;

    double MeanKl() const { return kl / static_cast<double>(positions); }
    double MeanCrossEntropy() const {
      return cross_entropy / static_cast<double>(next_tokens);
    }
  };

  double Importance(int layer, int component, TokenId token) const {
    return std::max(decomposition_.Activation(layer, component, token), 0.0f);
  }

  // visit(module, component, token) at every position of every row.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (const std::vector<TokenId>& row : request_.rows) {
      for (const TokenId token : row) {
        for (size_t m = 0; m < spec_.modules.size(); ++m) {
          for (int c = 0; c < spec_.modules[m].num_components; ++c) {
            visit(m, c, token);
          }
        }
      }
    }
  }

  int64_t CountPositions() const {
    int64_t positions = 0;
    for (const auto& row : request_.rows) positions += std::ssize(row);
    return positions;
  }

  void Read(const std::vector<TokenId>& row,
            size_t position,
            const FakeMasks& masks,
            const std::vector<bool>& masked,
            Sums& sums) const {
    Prompt prompt;
    prompt.tokens.assign(row.begin(),
                         row.begin() + static_cast<long>(position) + 1);
    prompt.space = UnitSpace::kNodes;
    prompt.decomposition = request_.decomposition;
    const UnitTable units = MakeUnitTable(
        spec_, UnitSpace::kNodes, static_cast<int>(prompt.tokens.size()));
    std::vector<float> of_units(static_cast<size_t>(units.size()), 1.0f);
    const std::vector<double> model = LogSoftmax(logits_(prompt, of_units));
    for (int id = 0; id < units.size(); ++id) {
      const Unit unit = units.At(id);
      if (!masked[unit.module]) continue;
      of_units[id] = static_cast<float>(
          unit.kind == UnitKind::kDelta ? masks.delta
                                        : masks.of_importance(Importance(
                                              spec_.modules[unit.module].layer,
                                              unit.index, row[unit.position])));
    }
    const std::vector<double> run = LogSoftmax(logits_(prompt, of_units));
    for (size_t i = 0; i < run.size(); ++i) {
      sums.kl += std::exp(model[i]) * (model[i] - run[i]);
    }
    ++sums.positions;
    if (position + 1 == row.size()) return;
    sums.cross_entropy -= run[row[position + 1]];
    ++sums.next_tokens;
  }

  Sums Run(const FakeMasks& masks, const std::vector<bool>& masked) const {
    Sums sums;
    for (const std::vector<TokenId>& row : request_.rows) {
      for (size_t t = 0; t < row.size(); ++t) {
        Read(row, t, masks, masked, sums);
      }
    }
    return sums;
  }

  Sparsity Statistics() const {
    Sparsity sparsity{.num_positions = CountPositions()};
    const auto positions = static_cast<double>(sparsity.num_positions);
    for (const DecomposedModule& module : spec_.modules) {
      ModuleSparsity& to = sparsity.modules.emplace_back();
      to.mean_importances.resize(module.num_components);
      to.densities.resize(module.num_components);
    }
    ForEach([&](size_t m, int c, TokenId token) {
      const double g = Importance(spec_.modules[m].layer, c, token);
      ModuleSparsity& to = sparsity.modules[m];
      const bool active = g > request_.alive_threshold;
      to.mean_importances[c] += static_cast<float>(g / positions);
      to.densities[c] += static_cast<float>((active ? 1 : 0) / positions);
      to.mean_l0 += (active ? 1 : 0) / positions;
    });
    for (ModuleSparsity& to : sparsity.modules) {
      to.num_alive = std::count_if(
          to.mean_importances.begin(), to.mean_importances.end(),
          [this](float mean) { return mean > request_.alive_mean; });
      to.num_active = std::count_if(to.densities.begin(), to.densities.end(),
                                    [](float density) { return density > 0; });
    }
    return sparsity;
  }

  OutputErrors Outputs(EvaluationMasks kind) const {
    const FakeMasks masks = MasksOf(kind, 0);
    OutputErrors errors{.masks = kind};
    errors.modules.resize(spec_.modules.size());
    const double per_module = static_cast<double>(CountPositions()) *
                              spec_.modules.front().num_components;
    const double per_all =
        per_module * static_cast<double>(spec_.modules.size());
    ForEach([&](size_t m, int c, TokenId token) {
      const int layer = spec_.modules[m].layer;
      const double a = decomposition_.Activation(layer, c, token);
      const double lost =
          a * (masks.of_importance(Importance(layer, c, token)) - 1);
      errors.modules[m].error += lost * lost / per_module;
      errors.modules[m].clean += a * a / per_module;
      errors.all.error += lost * lost / per_all;
      errors.all.clean += a * a / per_all;
    });
    return errors;
  }

  void AddAll(std::vector<EvaluationPart>& parts) const {
    parts.emplace_back(FaithfulnessOf(decomposition_.info()));
    parts.emplace_back(Statistics());
    std::vector<EvaluationPart> masked;
    AddMasked(kAllModules, all_, masked);
    parts.push_back(std::move(masked[0]));
    for (const EvaluationMasks kind :
         {EvaluationMasks::kCausalImportance, EvaluationMasks::kStochastic}) {
      parts.emplace_back(Outputs(kind));
    }
    for (const EvaluationMasks kind :
         {EvaluationMasks::kCausalImportance, EvaluationMasks::kStochastic}) {
      PatternErrors patterns{.masks = kind};
      patterns.layers.resize(spec_.modules.size());  // a module a layer
      parts.emplace_back(std::move(patterns));
    }
    if (masked.size() > 1) parts.push_back(std::move(masked[1]));
  }

  // The table, and the curve where there is one.
  void AddMasked(int subset,
                 const std::vector<bool>& masked,
                 std::vector<EvaluationPart>& parts) const {
    Reconstruction table{.subset = subset};
    for (const EvaluationMasks kind :
         {EvaluationMasks::kTarget, EvaluationMasks::kUnmasked,
          EvaluationMasks::kCausalImportance, EvaluationMasks::kRounded,
          EvaluationMasks::kStochastic, EvaluationMasks::kRandom,
          EvaluationMasks::kZero}) {
      const Sums sums = Run(MasksOf(kind, request_.rounding_threshold), masked);
      table.readings.push_back({.masks = kind,
                                .cross_entropy = sums.MeanCrossEntropy(),
                                .kl = sums.MeanKl()});
    }
    const double model = table.readings.front().cross_entropy;
    const double zero = table.readings.back().cross_entropy - model;
    for (MaskedReading& reading : table.readings) {
      reading.difference = reading.cross_entropy - model;
      if (zero != 0) reading.unrecovered = reading.difference / zero;
    }
    parts.emplace_back(std::move(table));
    if (request_.sweep.empty()) return;
    SparsityCurve curve{.subset = subset};
    for (const double threshold : request_.sweep) {
      curve.points.push_back(Point(threshold, masked, model));
    }
    parts.emplace_back(std::move(curve));
  }

  SparsityPoint Point(double threshold,
                      const std::vector<bool>& masked,
                      double model) const {
    SparsityPoint point{.threshold = threshold};
    point.module_l0.resize(spec_.modules.size());
    const auto positions = static_cast<double>(CountPositions());
    ForEach([&](size_t m, int c, TokenId token) {
      const DecomposedModule& module = spec_.modules[m];
      if (!masked[m] || !(Importance(module.layer, c, token) > threshold)) {
        return;
      }
      point.module_l0[m] += 1 / positions;
      point.mean_l0 += 1 / positions;
      point.active_parameters += (module.d_in + module.d_out) / positions;
    });
    const Sums sums =
        Run(MasksOf(EvaluationMasks::kRounded, threshold), masked);
    point.cross_entropy = sums.MeanCrossEntropy();
    point.difference = point.cross_entropy - model;
    point.kl = sums.MeanKl();
    return point;
  }

  AttackCurve Curve(AttackScope scope) const {
    AttackCurve curve{.scope = scope, .num_positions = CountPositions()};
    const double model =
        Run(MasksOf(EvaluationMasks::kTarget, 0), all_).MeanCrossEntropy();
    for (const int steps : request_.attack->step_counts) {
      const double s = std::min(1.0, steps * request_.attack->step_size);
      const Sums sums =
          Run({[s](double g) { return g + (1 - g) * s; }, s}, all_);
      curve.points.push_back({.steps = steps,
                              .kl = sums.MeanKl(),
                              .cross_entropy = sums.MeanCrossEntropy(),
                              .difference = sums.MeanCrossEntropy() - model});
    }
    return curve;
  }

  const FakeDecomposition& decomposition_;
  const DecompositionSpec& spec_;
  const EvaluationRequest request_;
  const FakePromptLogits logits_;
  const std::vector<bool> all_;
  EvaluationState state_ = {};
};

}  // namespace

std::unique_ptr<Evaluation> MakeFakeEvaluation(
    const FakeDecomposition& decomposition,
    const EvaluationRequest& request,
    FakePromptLogits logits) {
  return std::make_unique<FakeEvaluation>(decomposition, request,
                                          std::move(logits));
}

}  // namespace spar::models
