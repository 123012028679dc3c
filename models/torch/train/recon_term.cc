#include "models/torch/train/recon_term.h"

#include "models/torch/aten.h"
#include "models/torch/train/pgd.h"
#include "models/torch/train/run_masks.h"

namespace spar::models {
namespace {

std::vector<at::Tensor> Detached(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> detached;
  for (const at::Tensor& tensor : tensors) detached.push_back(tensor.detach());
  return detached;
}

}  // namespace

ReconTerm::ReconTerm(const LossConfig& config,
                     const ReconSettings& settings,
                     const std::vector<DecomposedModule>& modules,
                     int64_t num_sequences,
                     int64_t length,
                     const DrawKey& sources_key,
                     at::Device device)
    : config_(config),
      settings_(settings),
      sources_(config.persistent.has_value()
                   ? std::make_unique<PersistentSources>(*config.persistent,
                                                         modules,
                                                         num_sequences,
                                                         length,
                                                         settings.use_delta,
                                                         sources_key,
                                                         device)
                   : nullptr) {}

at::Tensor ReconTerm::Add(StepBatch& batch,
                          const std::vector<at::Tensor>& g,
                          int64_t step,
                          const DrawKey& key) {
  if (sources_ != nullptr) return AddPersistent(batch, g, step, key);
  const bool layerwise = config_.routing.kind == RoutingKind::kLayerwise;
  const int runs = layerwise ? static_cast<int>(g.size()) : 1;
  const int count = runs * config_.samples;
  at::Tensor sum;
  for (int sample = 0; sample < config_.samples; ++sample) {
    for (int run = 0; run < runs; ++run) {
      const at::Tensor loss =
          AddRun(batch, g, layerwise ? run : -1, config_.coefficient / count,
                 key.Of(sample).Of(run));
      sum = sum.defined() ? sum + loss : loss;
    }
  }
  return sum / count;
}

at::Tensor ReconTerm::AddRun(StepBatch& batch,
                             const std::vector<at::Tensor>& g,
                             int only,
                             double weight,
                             const DrawKey& key) {
  const std::vector<at::Tensor> routing = DrawRouting(
      config_.routing, key.Of(0), g.size(), batch.rows(), batch.device());
  const DrawKey masks = key.Of(1);
  const c10::AutoGradMode gradients(true);
  const bool use_delta = settings_.use_delta;
  switch (config_.kind) {
    case LossKind::kUnmaskedRecon:
      return batch.Recon(UnmaskedMasks(g.size()), weight);
    case LossKind::kCiMaskedRecon:
      return batch.Recon(ImportanceMasks(g, routing, only), weight);
    case LossKind::kPgdRecon:
      return batch.Recon(
          AdversarialMasks(g, routing, only,
                           AttackByPgd(batch, Detached(g), routing, only,
                                       *config_.pgd, use_delta, masks)),
          weight);
    case LossKind::kStochasticHiddenActs:
      return batch.HiddenActs(
          StochasticMasks(g, routing, only, settings_.sampling, use_delta,
                          masks),
          weight);
    default:
      return batch.Recon(StochasticMasks(g, routing, only, settings_.sampling,
                                         use_delta, masks),
                         weight);
  }
}

at::Tensor ReconTerm::AddPersistent(StepBatch& batch,
                                    const std::vector<at::Tensor>& g,
                                    int64_t step,
                                    const DrawKey& key) {
  const PersistentPgdConfig& config = *config_.persistent;
  const double rate = ScheduledValue(config.rate, step, settings_.steps);
  const auto routing = [&](int run) {
    return DrawRouting(config_.routing, key.Of(run), g.size(), batch.rows(),
                       batch.device());
  };
  const std::vector<at::Tensor> constants = Detached(g);
  for (int i = 0; i < config.warmup_steps; ++i) {
    const std::vector<at::Tensor> bits = routing(i);
    batch.Attack(
        [&] {
          return AdversarialMasks(constants, bits, -1, sources_->OfRows());
        },
        sources_->leaves());
    sources_->Ascend(rate, 1);
  }
  const std::vector<at::Tensor> bits = routing(config.warmup_steps);
  const c10::AutoGradMode gradients(true);
  const at::Tensor loss = batch.Recon(
      AdversarialMasks(g, bits, -1, sources_->OfRows()), config_.coefficient);
  // Only this run reads the sources, so their slopes are the loss's own.
  sources_->Ascend(rate, 1 / config_.coefficient);
  return loss;
}

}  // namespace spar::models
