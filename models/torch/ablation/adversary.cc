#include "models/torch/ablation/adversary.h"

#include <utility>

#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

// Restarts draw from streams of their own.
constexpr uint64_t kStreamsPerRestart = uint64_t{1} << 32;

}  // namespace

// The sources of one restart.
class Attack::Sources {
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

Attack::Attack(const AblationRequest& request,
               const std::vector<at::Tensor>& importances)
    : request_(request), importances_(importances) {}

Attack::~Attack() = default;

bool Attack::done() const {
  return restart_ >= request_.adversary.restarts;
}

void Attack::Step(const Loss& loss) {
  if (sources_ == nullptr) {
    sources_ = std::make_unique<Sources>(request_, importances_,
                                         static_cast<uint64_t>(restart_));
  }
  if (step_ < request_.adversary.steps) {
    const c10::AutoGradMode gradients(true);
    const at::Tensor reached = loss(sources_->Masks());
    if (reached.requires_grad()) reached.backward();
    const c10::AutoGradMode no_gradients(false);
    sources_->Step();
    ++step_;
    return;
  }
  const c10::AutoGradMode no_gradients(false);
  std::vector<ComponentMasks> masks = sources_->Masks();
  const double reached = loss(masks).item<double>();
  if (reached > worst_loss_ || worst_.empty()) {
    worst_loss_ = reached;
    worst_ = std::move(masks);
  }
  sources_ = nullptr;
  step_ = 0;
  ++restart_;
}

}  // namespace spar::models
