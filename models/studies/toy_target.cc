#include "models/studies/toy_target.h"

#include "models/torch/adamw.h"
#include "models/torch/aten.h"

namespace spar::studies {
namespace {

constexpr double kWeightDecay = 0.01;

class ToyBatch final : public models::TargetBatch {
 public:
  ToyBatch(const ToyTarget& target, const at::Tensor& data)
      : target_(target), data_(data) {
    runs_.push_back(target.SequencesOf(data));
  }

  const std::vector<models::Run>& runs() const override { return runs_; }

  at::Tensor Forward(const models::ReplacedModules& modules) override {
    return target_.Run(
        data_, [&](int module, const at::Tensor& x, const at::Tensor& bias) {
          return modules.which[module]
                     ? modules.apply(module, x, bias)
                     : at::linear(x, target_.Weight(module), bias);
        });
  }

 private:
  const ToyTarget& target_;
  const at::Tensor data_;
  std::vector<models::Run> runs_ = {};
};

}  // namespace

ToyTarget::ToyTarget(std::vector<ToyModule> modules) {
  for (ToyModule& module : modules) {
    modules_.push_back(std::move(module.module));
    weights_.push_back(std::move(module.weight));
  }
}

std::unique_ptr<models::TargetBatch> ToyTarget::Start(
    const at::Tensor& data) const {
  return std::make_unique<ToyBatch>(*this, data);
}

at::Tensor ToyTarget::Output(const at::Tensor& data) const {
  return Run(data,
             [&](int module, const at::Tensor& x, const at::Tensor& bias) {
               return at::linear(x, weights_[module], bias);
             });
}

ToyModule MakeToyModule(std::string name,
                        models::ModuleSite site,
                        int layer,
                        const at::Tensor& weight) {
  ToyModule toy;
  toy.module.name = std::move(name);
  toy.module.site = site;
  toy.module.layer = layer;
  toy.module.d_in = static_cast<int>(weight.size(1));
  toy.module.d_out = static_cast<int>(weight.size(0));
  toy.weight = weight;
  return toy;
}

void TrainToy(const ToyTraining& training,
              const models::TrainData& data,
              const std::vector<at::Tensor>& leaves,
              const std::function<at::Tensor(const at::Tensor&)>& loss) {
  models::AdamW adam(leaves, {.weight_decay = kWeightDecay});
  for (int step = 0; step < training.steps; ++step) {
    loss(data.Batch(step)).backward();
    adam.Step(models::ScheduledValue(training.rate, step, training.steps));
  }
}

}  // namespace spar::studies
