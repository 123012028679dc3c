#include "tests/train/plain_recipe.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/decomposition/stored_maps.h"

namespace spar::models {
namespace {

at::Tensor Leaf(const at::Tensor& values) {
  return values.detach().clone().requires_grad_(true);
}

// z as it is, with slopes changed on their way back.
template <typename Slope>
at::Tensor WithSlope(const at::Tensor& z,
                     const at::Tensor& value,
                     const Slope& slope) {
  const at::Tensor through = z * 1;
  through.register_hook([slope](const at::Tensor& g) { return slope(g); });
  return through + (value - through).detach();
}

at::Tensor Lower(CiSigmoid kind, const at::Tensor& z) {
  const at::Tensor at_z = z.detach();
  return WithSlope(z, LowerSigmoid(kind, MaskSampling::kContinuous, at_z),
                   [=](const at::Tensor& g) {
                     return LowerSigmoidSlope(kind, MaskSampling::kContinuous,
                                              at_z, g);
                   });
}

at::Tensor Upper(CiSigmoid kind, const at::Tensor& z) {
  const at::Tensor at_z = z.detach();
  return WithSlope(z, UpperSigmoid(kind, at_z), [=](const at::Tensor& g) {
    return UpperSigmoidSlope(kind, at_z, g);
  });
}

// What a module reads as rows to multiply: of an embedding one-hot.
at::Tensor RowsOf(const DecomposedModule& module, const at::Tensor& x) {
  if (module.site != ModuleSite::kEmbedding) return x;
  return at::zeros({x.size(0), module.d_in}).scatter(1, x.unsqueeze(1), 1);
}

void ClipNorm(const std::vector<at::Tensor>& leaves,
              const std::optional<double>& max_norm) {
  if (!max_norm.has_value()) return;
  double square = 0;
  for (const at::Tensor& leaf : leaves) {
    if (!leaf.grad().defined()) continue;
    square += (leaf.grad() * leaf.grad()).sum().item<double>();
  }
  const double scale = std::min(1.0, *max_norm / (std::sqrt(square) + 1e-6));
  for (const at::Tensor& leaf : leaves) {
    if (leaf.grad().defined()) leaf.grad().mul_(scale);
  }
}

}  // namespace

// One batch with what its losses share.
struct PlainRecipe::Step {
  int64_t step = 0;
  int64_t sequences = 0;
  int64_t rows = 0;
  std::unique_ptr<TargetBatch> batch = nullptr;
  ModuleInputs inputs = {};
  std::vector<at::Tensor> clean_outputs = {};  // of modules
  at::Tensor output = {};
  std::vector<at::Tensor> delta = {};  // with graphs
  std::vector<at::Tensor> g = {}, h = {};
};

PlainRecipe::PlainRecipe(const TrainTarget& target,
                         const TrainConfig& config,
                         const DecompositionSpec& spec,
                         const Trainer& begin)
    : target_(target), config_(config), spec_(spec) {
  std::vector<at::Tensor> factors, ci;
  for (size_t m = 0; m < spec_.modules.size(); ++m) {
    w_.push_back(target.Weight(static_cast<int>(m)));
    v_.push_back(Leaf(begin.factors().v(m)));
    u_.push_back(Leaf(begin.factors().u(m)));
    factors.push_back(v_[m]);
    factors.push_back(u_[m]);
  }
  for (const auto& [name, leaf] : begin.ci().parameters()) {
    ci_[name] = Leaf(leaf);
    ci.push_back(ci_[name]);
  }
  components_adam_ = std::make_unique<AdamW>(factors, AdamWOptions{});
  ci_adam_ = std::make_unique<AdamW>(ci, AdamWOptions{});
  const DrawKey key = KeyOf(config_.seed, DrawUse::kSources);
  const int64_t length = config_.data.sequence_length;
  using Scope = PersistentPgdConfig::Scope;
  for (size_t i = 0; i < config_.losses.size(); ++i) {
    const LossConfig& loss = config_.losses[i];
    if (!loss.persistent.has_value()) continue;
    std::vector<int64_t> lead = {1, 1};
    if (loss.persistent->scope == Scope::kBroadcastAcrossBatch) {
      lead = {1, length};
    } else if (loss.persistent->scope == Scope::kRepeatAcrossBatch) {
      lead = {loss.persistent->num_sources, length};
    } else if (loss.persistent->scope == Scope::kPerBatchPerPosition) {
      lead = {config_.batch_size, length};
    }
    const size_t count = spec_.modules.size();
    for (size_t m = 0; m < count; ++m) {
      const auto draw = [&](size_t leaf, int64_t width) {
        const std::vector<int64_t> sizes = {lead[0] * lead[1], width};
        const DrawKey of_leaf = key.Of(i).Of(leaf);
        return (loss.persistent->sigmoid ? of_leaf.Normal(sizes, at::kCPU)
                                         : of_leaf.Uniform(sizes, at::kCPU))
            .view({lead[0], lead[1], width});
      };
      at::Tensor x = draw(m, spec_.modules[m].num_components);
      if (config_.use_delta) x = at::cat({x, draw(count + m, 1)}, 2);
      sources_[i].push_back({.x = x,
                             .mean = at::zeros(x.sizes(), x.options()),
                             .square = at::zeros(x.sizes(), x.options())});
    }
  }
}

std::vector<at::Tensor> PlainRecipe::Leaves() const {
  std::vector<at::Tensor> leaves;
  for (size_t m = 0; m < v_.size(); ++m) {
    leaves.push_back(v_[m]);
    leaves.push_back(u_[m]);
  }
  for (const auto& [name, leaf] : ci_) leaves.push_back(leaf);
  return leaves;
}

at::Tensor PlainRecipe::Run(Step& step,
                            const Masks& masks,
                            std::vector<at::Tensor>* seen) {
  ReplacedModules replaced;
  replaced.which.resize(w_.size());
  for (const auto& [m, mask] : masks) replaced.which[m] = true;
  replaced.apply = [&](int m, const at::Tensor& read, const at::Tensor& bias) {
    const at::Tensor x = RowsOf(spec_.modules[m], read);
    const Mask& mask = masks.at(m);
    const auto with_bias = [&](const at::Tensor& y) {
      return bias.defined() ? y + bias : y;
    };
    at::Tensor y = at::mm(at::mm(x, v_[m].t()) * mask.m, u_[m]);
    if (mask.delta.defined()) {
      y = y + mask.delta * at::mm(x, step.delta[m].t());
    }
    y = with_bias(y);
    // As hooks on the target's modules do: its own product runs all the same.
    const at::Tensor own = with_bias(at::mm(x, w_[m].t()));
    if (mask.routed.defined()) y = at::where(mask.routed, y, own);
    if (seen != nullptr) (*seen)[m] = y.clone();
    return y;
  };
  return step.batch->Forward(replaced);
}

at::Tensor PlainRecipe::Distance(Step& step, const at::Tensor& output) const {
  if (config_.distance == OutputDistance::kMse) {
    return (output - step.output).pow(2).mean();
  }
  const at::Tensor p = step.output.softmax(-1);
  return (p * (step.output.log_softmax(-1) - output.log_softmax(-1))).sum() /
         static_cast<double>(step.rows);
}

void PlainRecipe::Route(const Routing& routing,
                        const DrawKey& key,
                        int64_t rows,
                        Masks& masks) const {
  const int64_t count = static_cast<int64_t>(w_.size());
  if (routing.kind == RoutingKind::kStaticProbability) {
    const at::Tensor u = key.Uniform({rows, count}, at::kCPU);
    for (auto& [m, mask] : masks) {
      mask.routed = u.select(1, static_cast<int64_t>(m)).unsqueeze(1) <
                    routing.probability;
    }
  }
  if (routing.kind != RoutingKind::kUniformSubset) return;
  const at::Tensor u = key.Of(0).Uniform({rows, count}, at::kCPU);
  const at::Tensor k =
      (key.Of(1).Uniform({rows, 1}, at::kCPU) * static_cast<double>(count))
          .floor() +
      1;  // 1 to M
  for (auto& [m, mask] : masks) {
    const at::Tensor own = u.narrow(1, static_cast<int64_t>(m), 1);
    mask.routed = u.lt(own).sum(1, true) < k;  // the rank
  }
}

PlainRecipe::Masks PlainRecipe::Stochastic(Step& step,
                                           int only,
                                           const DrawKey& key) const {
  Masks masks;
  for (size_t m = 0; m < w_.size(); ++m) {
    if (only >= 0 && static_cast<size_t>(only) != m) continue;
    at::Tensor r = key.Of(m).Of(0).Uniform(step.g[m].sizes().vec(), at::kCPU);
    if (config_.sampling == MaskSampling::kBinomial) {
      r = r.ge(0.5).to(at::kFloat);
    }
    masks[m].m = step.g[m] + (1 - step.g[m]) * r;
    if (config_.use_delta) {
      masks[m].delta = key.Of(m).Of(1).Uniform({step.rows, 1}, at::kCPU);
    }
  }
  return masks;
}

PlainRecipe::Masks PlainRecipe::Sourced(
    Step& step, int only, const std::vector<at::Tensor>& sources) const {
  Masks masks;
  for (size_t m = 0; m < w_.size(); ++m) {
    if (only >= 0 && static_cast<size_t>(only) != m) continue;
    const int64_t count = step.g[m].size(1);
    const at::Tensor s = sources[m].narrow(1, 0, count);
    masks[m].m = step.g[m] + (1 - step.g[m]) * s;
    if (config_.use_delta) masks[m].delta = sources[m].narrow(1, count, 1);
  }
  return masks;
}

at::Tensor PlainRecipe::Pgd(Step& step,
                            const LossConfig& loss,
                            const DrawKey& key,
                            int only) {
  const PgdConfig& config = *loss.pgd;
  const int64_t rows =
      config.scope == PgdConfig::Scope::kSharedAcrossBatch ? 1 : step.rows;
  const auto masks_of = [&](const std::vector<at::Tensor>& sources) {
    Masks masks = Sourced(step, only, sources);
    Route(loss.routing, key.Of(0), step.rows, masks);
    return masks;
  };
  std::vector<at::Tensor> sources;
  for (size_t m = 0; m < w_.size(); ++m) {
    const auto draw = [&](uint64_t use, int64_t width) {
      if (config.init == PgdConfig::Init::kOnes) return at::ones({rows, width});
      if (config.init == PgdConfig::Init::kZeroes) {
        return at::zeros({rows, width});
      }
      return key.Of(1).Of(m).Of(use).Uniform({rows, width}, at::kCPU);
    };
    at::Tensor s = draw(0, spec_.modules[m].num_components);
    if (config_.use_delta) s = at::cat({s, draw(1, 1)}, 1);
    sources.push_back(s);
  }
  for (int i = 0; i < config.num_steps; ++i) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& s : sources) leaves.push_back(Leaf(s));
    const at::Tensor value =
        Distance(step, Run(step, masks_of(leaves), nullptr));
    value.backward({}, /*retain_graph=*/true, false, at::TensorList(leaves));
    for (size_t m = 0; m < sources.size(); ++m) {
      if (!leaves[m].grad().defined()) continue;
      sources[m] =
          (sources[m] + config.step_size * leaves[m].grad().sign()).clamp(0, 1);
    }
  }
  return Distance(step, Run(step, masks_of(sources), nullptr));
}

std::vector<at::Tensor> PlainRecipe::Spread(Step& step,
                                            const LossConfig& loss,
                                            size_t index) const {
  std::vector<at::Tensor> rows;
  for (const Source& source : sources_.at(index)) {
    at::Tensor s = loss.persistent->sigmoid ? at::sigmoid(source.x) : source.x;
    const int64_t length = config_.data.sequence_length;
    if (loss.persistent->scope ==
        PersistentPgdConfig::Scope::kRepeatAcrossBatch) {
      s = s.repeat({step.sequences / s.size(0), 1, 1});
    }
    rows.push_back(
        s.expand({step.sequences, length, s.size(2)}).reshape({-1, s.size(2)}));
  }
  return rows;
}

void PlainRecipe::Ascend(const LossConfig& loss,
                         int64_t step,
                         const std::vector<at::Tensor>& gradients,
                         size_t index) {
  const c10::NoGradGuard no_grad;
  const PersistentPgdConfig& config = *loss.persistent;
  const double rate = ScheduledValue(config.rate, step, config_.steps);
  const int k = ++ascents_[index];
  for (size_t m = 0; m < gradients.size(); ++m) {
    Source& source = sources_[index][m];
    const at::Tensor& g = gradients[m];
    if (config.adam) {
      source.mean = config.beta1 * source.mean + (1 - config.beta1) * g;
      source.square = config.beta2 * source.square + (1 - config.beta2) * g * g;
      source.x = source.x +
                 rate * (source.mean / (1 - std::pow(config.beta1, k))) /
                     ((source.square / (1 - std::pow(config.beta2, k))).sqrt() +
                      config.epsilon);
    } else {
      source.x = source.x + rate * g.sign();
    }
    if (!config.sigmoid) source.x = source.x.clamp(0, 1);
  }
}

at::Tensor PlainRecipe::Persistent(Step& step,
                                   size_t index,
                                   const DrawKey& key) {
  const LossConfig& loss = config_.losses[index];
  at::Tensor value;
  for (int run = 0; run <= loss.persistent->warmup_steps; ++run) {
    std::vector<at::Tensor> leaves;
    for (Source& source : sources_[index]) {
      source.x = Leaf(source.x);
      leaves.push_back(source.x);
    }
    Masks masks = Sourced(step, -1, Spread(step, loss, index));
    Route(loss.routing, key.Of(run), step.rows, masks);
    value = Distance(step, Run(step, masks, nullptr));
    value.backward({}, /*retain_graph=*/true, false, at::TensorList(leaves));
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& leaf : leaves) gradients.push_back(leaf.grad());
    Ascend(loss, step.step, gradients, index);
  }
  return value;  // its graph holds the sources of before the last ascent
}

at::Tensor PlainRecipe::Recon(Step& step,
                              const LossConfig& loss,
                              const DrawKey& key) {
  const bool layerwise = loss.routing.kind == RoutingKind::kLayerwise;
  const int runs = layerwise ? static_cast<int>(w_.size()) : 1;
  at::Tensor sum = at::zeros({});
  for (int sample = 0; sample < loss.samples; ++sample) {
    for (int run = 0; run < runs; ++run) {
      const int only = layerwise ? run : -1;
      const DrawKey of_run = key.Of(sample).Of(run);
      if (loss.kind == LossKind::kPgdRecon) {
        sum = sum + Pgd(step, loss, of_run, only);
        continue;
      }
      Masks masks;
      if (loss.kind == LossKind::kStochasticRecon) {
        masks = Stochastic(step, only, of_run.Of(1));
      } else {
        for (size_t m = 0; m < w_.size(); ++m) {
          if (only >= 0 && static_cast<size_t>(only) != m) continue;
          masks[m].m = loss.kind == LossKind::kUnmaskedRecon
                           ? at::ones(step.g[m].sizes())
                           : step.g[m];
        }
      }
      Route(loss.routing, of_run.Of(0), step.rows, masks);
      sum = sum + Distance(step, Run(step, masks, nullptr));
    }
  }
  return sum / (loss.samples * runs);
}

at::Tensor PlainRecipe::HiddenActs(Step& step, const DrawKey& key) {
  std::vector<at::Tensor> seen(w_.size());
  Run(step, Stochastic(step, -1, key.Of(0).Of(0).Of(1)), &seen);
  at::Tensor sum = at::zeros({});
  double entries = 0;
  for (size_t m = 0; m < seen.size(); ++m) {
    sum = sum + (seen[m] - step.clean_outputs[m]).pow(2).sum();
    entries += static_cast<double>(seen[m].numel());
  }
  return sum / entries;
}

std::vector<double> PlainRecipe::Accumulate(const at::Tensor& data,
                                            int64_t step_index) {
  const c10::AutoGradMode gradients(true);
  Step step;
  step.step = step_index;
  step.sequences = data.size(0);
  step.batch = target_.Start(data);
  step.inputs.runs = step.batch->runs();
  step.clean_outputs.resize(w_.size());
  ReplacedModules own;
  own.which.assign(w_.size(), true);
  own.apply = [&](int m, const at::Tensor& x, const at::Tensor& bias) {
    step.inputs.streams[StreamOf(spec_.modules[m])] = x;
    at::Tensor y = at::mm(RowsOf(spec_.modules[m], x), w_[m].t());
    if (bias.defined()) y = y + bias;
    step.clean_outputs[m] = y.clone();
    return y;
  };
  step.output = step.batch->Forward(own);
  step.rows = step.output.size(0);
  std::vector<at::Tensor> activations;
  at::Tensor squares = at::zeros({});
  double entries = 0;
  for (size_t m = 0; m < w_.size(); ++m) {
    const DecomposedModule& module = spec_.modules[m];
    activations.push_back(
        at::mm(RowsOf(module, step.inputs.Of(module)), v_[m].t()));
    step.delta.push_back(w_[m] - at::mm(u_[m].t(), v_[m]));
    squares = squares + step.delta[m].pow(2).sum();
    entries += static_cast<double>(w_[m].numel());
  }
  const std::vector<at::Tensor> z = LoadCiFunction(StoredTensors(spec_, ci_))
                                        ->Logits(step.inputs, activations);
  const DrawKey noise =
      KeyOf(config_.seed, DrawUse::kImportances).Of(step_index);
  for (size_t m = 0; m < z.size(); ++m) {
    at::Tensor moved = z[m];
    if (config_.sampling == MaskSampling::kBinomial) {
      moved = 1.05 * z[m] -
              0.05 * noise.Of(m).Uniform(z[m].sizes().vec(), at::kCPU);
    }
    step.g.push_back(Lower(config_.sigmoid, moved));
    step.h.push_back(Upper(config_.sigmoid, z[m]).clamp_min(0));
  }
  const DrawKey key = KeyOf(config_.seed, DrawUse::kLosses).Of(step_index);
  std::vector<double> values;
  at::Tensor total = at::zeros({});
  for (size_t i = 0; i < config_.losses.size(); ++i) {
    const LossConfig& loss = config_.losses[i];
    at::Tensor value;
    if (loss.kind == LossKind::kFaithfulness) {
      value = squares / entries;
    } else if (loss.kind == LossKind::kImportanceMinimality) {
      const double p = AnnealedValue(loss.power, step_index, config_.steps);
      value = at::zeros({});
      for (const at::Tensor& h : step.h) {
        const at::Tensor s = (h + loss.epsilon).pow(p).sum(0);
        value = value + (s / static_cast<double>(step.rows) *
                         (1 + loss.beta * (1 + s).log2()))
                            .sum();
      }
    } else if (loss.kind == LossKind::kStochasticHiddenActs) {
      value = HiddenActs(step, key.Of(i));
    } else if (loss.persistent.has_value()) {
      value = Persistent(step, i, key.Of(i));
    } else {
      value = Recon(step, loss, key.Of(i));
    }
    values.push_back(value.item<double>());
    total = total + loss.coefficient * value;
  }
  for (const at::Tensor& leaf : Leaves()) leaf.mutable_grad() = at::Tensor();
  if (total.requires_grad()) total.backward();
  return values;
}

void PlainRecipe::Move(int64_t step) {
  const c10::NoGradGuard no_grad;
  const double rate = ScheduledValue(config_.rate, step, config_.steps);
  ClipNorm(components_adam_->parameters(), config_.clip_components);
  ClipNorm(ci_adam_->parameters(), config_.clip_ci);
  components_adam_->Step(rate);
  ci_adam_->Step(rate);
}

}  // namespace spar::models
