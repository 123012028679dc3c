#include "models/torch/train/persistent_sources.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

struct AdamStep {
  float beta1 = 0, beta2 = 0, epsilon = 0;
  float scale = 1;   // of the gradients
  float rate = 0;    // over the first moment's bias
  float unbias = 1;  // of the square root of the second
  bool clamp = true;
};

// One pass over contiguous numbers on the host.
void AscendOnHost(const AdamStep& step,
                  const at::Tensor& gradient,
                  const at::Tensor& mean,
                  const at::Tensor& square,
                  const at::Tensor& leaf) {
  const float* const g = gradient.const_data_ptr<float>();
  float* const m = mean.mutable_data_ptr<float>();
  float* const v = square.mutable_data_ptr<float>();
  float* const x = leaf.mutable_data_ptr<float>();
  for (int64_t i = 0; i < leaf.numel(); ++i) {
    const float slope = g[i] * step.scale;
    m[i] = step.beta1 * m[i] + (1 - step.beta1) * slope;
    v[i] = step.beta2 * v[i] + (1 - step.beta2) * slope * slope;
    const float moved =
        x[i] +
        step.rate * m[i] / (std::sqrt(v[i]) * step.unbias + step.epsilon);
    x[i] = step.clamp ? std::min(std::max(moved, 0.0f), 1.0f) : moved;
  }
}

}  // namespace

PersistentSources::PersistentSources(
    const PersistentPgdConfig& config,
    const std::vector<DecomposedModule>& modules,
    int64_t num_sequences,
    int64_t length,
    bool use_delta,
    const DrawKey& key,
    at::Device device)
    : config_(config), modules_(modules), use_delta_(use_delta) {
  using Scope = PersistentPgdConfig::Scope;
  int64_t rows = 1;
  switch (config.scope) {
    case Scope::kSingleSource:
      break;
    case Scope::kBroadcastAcrossBatch:
      rows = length;
      copies_ = num_sequences;
      break;
    case Scope::kRepeatAcrossBatch:
      rows = config.num_sources * length;
      copies_ = num_sequences / config.num_sources;
      break;
    case Scope::kPerBatchPerPosition:
      rows = num_sequences * length;
      break;
  }
  const c10::NoGradGuard no_grad;
  const size_t count = modules.size();
  for (size_t i = 0; i < (use_delta ? 2 * count : count); ++i) {
    const int64_t width = i < count ? modules[i].num_components : 1;
    const DrawKey of_leaf = key.Of(i);
    at::Tensor leaf = config.sigmoid ? of_leaf.Normal({rows, width}, device)
                                     : of_leaf.Uniform({rows, width}, device);
    leaves_.push_back(leaf.requires_grad_(true));
    if (!config.adam) continue;
    means_.push_back(at::zeros(leaf.sizes(), leaf.options()));
    squares_.push_back(at::zeros(leaf.sizes(), leaf.options()));
  }
}

std::vector<ModuleSources> PersistentSources::OfRows() const {
  const c10::AutoGradMode gradients(true);
  const auto of_rows = [&](const at::Tensor& leaf) {
    const at::Tensor s = config_.sigmoid ? at::sigmoid(leaf) : leaf;
    return copies_ == 1 ? s : s.repeat({copies_, 1});
  };
  std::vector<ModuleSources> sources;
  for (size_t m = 0; m < modules_.size(); ++m) {
    sources.push_back({.masks = of_rows(leaves_[m])});
    if (use_delta_) {
      sources[m].deltas = of_rows(leaves_[modules_.size() + m]);
    }
  }
  return sources;
}

void PersistentSources::Ascend(double rate, double scale) {
  const c10::NoGradGuard no_grad;
  ++ascents_;
  const double unbias1 = 1 - std::pow(config_.beta1, ascents_);
  const double unbias2 = 1 - std::pow(config_.beta2, ascents_);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    at::Tensor& leaf = leaves_[i];
    const at::Tensor gradient = leaf.grad().contiguous();
    if (config_.adam && leaf.is_cpu()) {
      AscendOnHost({.beta1 = static_cast<float>(config_.beta1),
                    .beta2 = static_cast<float>(config_.beta2),
                    .epsilon = static_cast<float>(config_.epsilon),
                    .scale = static_cast<float>(scale),
                    .rate = static_cast<float>(rate / unbias1),
                    .unbias = static_cast<float>(1 / std::sqrt(unbias2)),
                    .clamp = !config_.sigmoid},
                   gradient, means_[i], squares_[i], leaf);
      leaf.mutable_grad() = at::Tensor();
      continue;
    }
    if (config_.adam) {
      means_[i].mul_(config_.beta1).add_(gradient, (1 - config_.beta1) * scale);
      squares_[i]
          .mul_(config_.beta2)
          .addcmul_(gradient, gradient, (1 - config_.beta2) * scale * scale);
      const at::Tensor root =
          squares_[i].div(unbias2).sqrt_().add_(config_.epsilon);
      leaf.addcdiv_(means_[i], root, rate / unbias1);
    } else {
      leaf.add_(gradient.sign(), rate);
    }
    if (!config_.sigmoid) leaf.clamp_(0, 1);
    leaf.mutable_grad() = at::Tensor();
  }
}

std::map<std::string, at::Tensor> PersistentSources::State() const {
  std::map<std::string, at::Tensor> state;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    const std::string name =
        base::Cat(modules_[i % modules_.size()].name,
                  i < modules_.size() ? ".masks" : ".delta");
    state[name] = leaves_[i];
    if (!config_.adam) continue;
    state[name + ".mean"] = means_[i];
    state[name + ".square"] = squares_[i];
  }
  return state;
}

}  // namespace spar::models
