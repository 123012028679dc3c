#include "models/torch/ablation/adversary.h"

#include <limits>
#include <utility>

#include "models/torch/ablation/strategy_masks.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Restarts draw from streams of their own.
constexpr uint64_t kStreamsPerRestart = uint64_t{1} << 32;

// The sources of one attack.
class Sources {
 public:
  Sources(const AblationRequest& request,
          const std::vector<at::Tensor>& importances,
          uint64_t restart)
      : request_(request), importances_(importances) {
    uint64_t stream = restart * kStreamsPerRestart;
    for (const at::Tensor& g : importances) {
      const int64_t rows = request.adversary.shared_positions ? 1 : g.size(0);
      components_.push_back(Draw(stream++, {rows, g.size(1)}, g));
      deltas_.push_back(Draw(stream++, {rows}, g));
    }
  }

  std::vector<ComponentMasks> Masks() const {
    std::vector<ComponentMasks> masks;
    for (size_t m = 0; m < importances_.size(); ++m) {
      const at::Tensor& g = importances_[m];
      ComponentMasks module{.values = g + (1 - g) * components_[m]};
      if (request_.delta.has_value()) {
        module.delta = *request_.delta;
      } else {
        module.deltas = deltas_[m].expand({g.size(0)});
      }
      masks.push_back(std::move(module));
    }
    return masks;
  }

  // Up the slope of the loss.
  void Step() {
    for (auto* const sources : {&components_, &deltas_}) {
      for (at::Tensor& source : *sources) {
        if (!source.grad().defined()) continue;  // nothing hangs on it
        source = (source.detach() +
                  source.grad().sign() * request_.adversary.step_size)
                     .clamp(0, 1);
        source.requires_grad_(true);
      }
    }
  }

 private:
  at::Tensor Draw(uint64_t stream,
                  const std::vector<int64_t>& sizes,
                  const at::Tensor& like) const {
    at::Tensor source =
        UniformNumbers(request_.seed, stream, sizes).to(like.options());
    source.requires_grad_(true);
    return source;
  }

  const AblationRequest& request_;
  const std::vector<at::Tensor>& importances_;
  std::vector<at::Tensor> components_ = {};  // [module]: [tokens or 1, C]
  std::vector<at::Tensor> deltas_ = {};      // [module]: [tokens or 1]
};

}  // namespace

std::vector<ComponentMasks> AdversarialMasks(
    const AblationRequest& request,
    const std::vector<at::Tensor>& importances,
    const std::function<at::Tensor(std::vector<ComponentMasks>)>& loss) {
  std::vector<ComponentMasks> worst;
  double worst_loss = -std::numeric_limits<double>::infinity();
  for (int restart = 0; restart < request.adversary.restarts; ++restart) {
    Sources sources(request, importances, static_cast<uint64_t>(restart));
    for (int step = 0; step < request.adversary.steps; ++step) {
      const c10::AutoGradMode gradients(true);
      const at::Tensor reached = loss(sources.Masks());
      if (!reached.requires_grad()) break;  // the masks change nothing
      reached.backward();
      const c10::AutoGradMode no_gradients(false);
      sources.Step();
    }
    const c10::AutoGradMode no_gradients(false);
    std::vector<ComponentMasks> masks = sources.Masks();
    const double reached = loss(masks).item<double>();
    if (reached > worst_loss || worst.empty()) {
      worst_loss = reached;
      worst = std::move(masks);
    }
  }
  return worst;
}

}  // namespace spar::models
