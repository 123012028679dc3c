// What a Trainer writes and reads: checkpoints, and the decomposition.
#include <utility>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/decomposition/decomposition_writer.h"
#include "models/snapshot/bad_model.h"
#include "models/torch/aten.h"
#include "models/torch/errors.h"
#include "models/torch/train/trainer.h"
#include "models/train/checkpoint.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr char kStep[] = "step";
constexpr char kWarmupDone[] = "warmup_done";
constexpr char kComponentSteps[] = "component_adam";
constexpr char kCiSteps[] = "ci_adam";
constexpr char kWarmupAdamSteps[] = "warmup_adam";

std::string AscentsName(size_t loss) {
  return Cat("ascents.", loss);
}

// Float32 on the host, lent to a writer.
class HostTensors {
 public:
  void Add(const std::string& name, const at::Tensor& tensor) {
    kept_.push_back(tensor.detach().to(at::kCPU, at::kFloat).contiguous());
    const at::Tensor& host = kept_.back();
    named_.push_back({.name = name,
                      .shape = host.sizes().vec(),
                      .values = {host.const_data_ptr<float>(),
                                 static_cast<size_t>(host.numel())}});
  }
  const std::vector<NamedTensor>& named() const { return named_; }

 private:
  std::vector<at::Tensor> kept_ = {};
  std::vector<NamedTensor> named_ = {};
};

using NamedLeaves = std::vector<std::pair<std::string, at::Tensor>>;

void AddMoments(const std::string& prefix,
                const NamedLeaves& leaves,
                const AdamW& adam,
                std::map<std::string, at::Tensor>& state) {
  for (size_t i = 0; i < leaves.size(); ++i) {
    const std::string name = Cat(prefix, ".", leaves[i].first);
    state[name + ".mean"] = adam.means()[i];
    state[name + ".square"] = adam.squares()[i];
  }
}

}  // namespace

std::map<std::string, at::Tensor> Trainer::State() const {
  std::map<std::string, at::Tensor> state;
  const NamedLeaves factors = factors_.parameters();
  const NamedLeaves ci(ci_.parameters().begin(), ci_.parameters().end());
  for (const auto& [name, leaf] : factors) state[name] = leaf;
  for (const auto& [name, leaf] : ci) state[name] = leaf;
  AddMoments("adam", factors, component_adam_, state);
  AddMoments("adam", ci, ci_adam_, state);
  if (warmup_adam_ != nullptr) {
    AddMoments("warmup", factors, *warmup_adam_, state);
  }
  for (const auto& [index, term] : recon_) {
    if (term->sources() == nullptr) continue;
    const std::map<std::string, at::Tensor> sources = term->sources()->State();
    for (const auto& [name, tensor] : sources) {
      state[Cat("sources.", index, ".", name)] = tensor;
    }
  }
  for (size_t m = 0; m < fired_.size(); ++m) {
    state[Cat("fired.", spec_.modules[m].name)] = fired_[m];
  }
  return state;
}

std::map<std::string, int64_t> Trainer::Counters() const {
  std::map<std::string, int64_t> counters = {
      {kStep, step_},
      {kWarmupDone, warmup_done_},
      {kComponentSteps, component_adam_.steps()},
      {kCiSteps, ci_adam_.steps()},
      {kWarmupAdamSteps, warmup_adam_ == nullptr ? 0 : warmup_adam_->steps()}};
  for (const auto& [index, term] : recon_) {
    if (term->sources() == nullptr) continue;
    counters[AscentsName(index)] = term->sources()->ascents();
  }
  return counters;
}

absl::Status Trainer::Save(const std::filesystem::path& folder) const {
  return CatchTorch("saving a checkpoint", [&] {
    HostTensors tensors;
    const std::map<std::string, at::Tensor> state = State();
    for (const auto& [name, tensor] : state) tensors.Add(name, tensor);
    const CheckpointHead head{.config_digest = config_.digest,
                              .target_digest = spec_.target_weights_digest,
                              .counters = Counters()};
    return WriteCheckpoint(folder, head, tensors.named());
  });
}

absl::Status Trainer::Restore(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(folder));
  const CheckpointHead& head = checkpoint.head;
  if (head.config_digest != config_.digest) {
    return BadCheckpoint(folder, "it is of another configuration");
  }
  if (head.target_digest != spec_.target_weights_digest) {
    return BadCheckpoint(folder, "it is of another model");
  }
  const std::map<std::string, int64_t> counters = Counters();
  for (const auto& [name, value] : counters) {
    if (!head.counters.contains(name) || head.counters.at(name) < 0) {
      return BadCheckpoint(folder, Cat("lacks the counter ", name));
    }
  }
  const auto counter = [&](const std::string& name) {
    return head.counters.at(name);
  };
  if (counter(kStep) > config_.steps ||
      counter(kWarmupDone) > config_.warmup_steps) {
    return BadCheckpoint(
        folder, Cat("is at step ", counter(kStep), " of ", config_.steps));
  }
  if (counter(kWarmupDone) == config_.warmup_steps) warmup_adam_ = nullptr;
  const std::map<std::string, at::Tensor> state = State();
  const std::map<std::string, StoredTensor>& stored =
      checkpoint.tensors.tensors();
  for (const auto& [name, tensor] : state) {
    const auto found = stored.find(name);
    if (found == stored.end() || found->second.dtype != "F32" ||
        found->second.shape != tensor.sizes().vec()) {
      return BadCheckpoint(folder, Cat("tensor ", Quoted(name),
                                       " is missing or of another shape"));
    }
  }
  return CatchTorch("reading a checkpoint", [&] {
    const c10::NoGradGuard no_grad;
    for (const auto& [name, tensor] : state) {
      const StoredTensor& values = stored.at(name);
      tensor.copy_(at::from_blob(const_cast<std::byte*>(values.bytes.data()),
                                 values.shape,
                                 at::TensorOptions().dtype(at::kFloat)));
    }
    const auto restore = [](AdamW& adam, int64_t steps) {
      adam.Restore(adam.means(), adam.squares(), static_cast<int>(steps));
    };
    restore(component_adam_, counter(kComponentSteps));
    restore(ci_adam_, counter(kCiSteps));
    if (warmup_adam_ != nullptr) {
      restore(*warmup_adam_, counter(kWarmupAdamSteps));
    }
    for (const auto& [index, term] : recon_) {
      if (term->sources() == nullptr) continue;
      term->sources()->SetAscents(
          static_cast<int>(counter(AscentsName(index))));
    }
    step_ = counter(kStep);
    warmup_done_ = counter(kWarmupDone);
    return absl::OkStatus();
  });
}

absl::Status Trainer::Export(const std::filesystem::path& folder) const {
  return CatchTorch("writing the decomposition", [&] {
    DecompositionSpec spec = spec_;
    const nlohmann::json training = {{"config_digest", config_.digest},
                                     {"seed", config_.seed},
                                     {"steps", step_},
                                     {"trainer", "spar"}};
    spec.training_json = training.dump();
    HostTensors tensors;
    for (size_t m = 0; m < factors_.size(); ++m) {
      const DecomposedModule& module = factors_.module(m);
      tensors.Add(VName(module), factors_.v(m));
      tensors.Add(UName(module), target_.StoredOutputs(static_cast<int>(m),
                                                       factors_.u(m).detach()));
      const int64_t oldest = std::max<int64_t>(step_ - kAliveWindow, 0);
      spec.modules[m].num_alive = static_cast<int>(
          fired_[m].gt(static_cast<double>(oldest)).sum().item<int64_t>());
    }
    for (const auto& [name, leaf] : ci_.parameters()) tensors.Add(name, leaf);
    return WriteDecomposition(folder, spec, tensors.named());
  });
}

}  // namespace spar::models
