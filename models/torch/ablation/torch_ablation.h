// L1t. Ablations on LibTorch.
//
// Note [Sweeps]
// The rows of a sweep differ from one another in few masks. So the run with the
// interventions alone is done first and its stream kept before every layer; a
// row then enters at the first layer that it changes, beside all rows of the
// batch that enter there; and of the factors only those are multiplied that any
// row of the batch has on (or off, where nearly all are on). Each is exact.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

#include "models/ablation.h"
#include "models/torch/component_forward.h"

namespace spar::models {

// What is ablated. All outlive the ablation.
struct AblationSubject {
  const Decoder* model = nullptr;  // the model itself
  // What runs under masks; without modules where nothing is decomposed.
  DecomposedDecoder* decomposed = nullptr;
  MaskSampling sampling = MaskSampling::kContinuous;
  // g of every module, [tokens, C], of one prompt; null without modules. May
  // throw c10::Error.
  std::function<absl::StatusOr<std::vector<at::Tensor>>(
      std::span<const TokenId>)>
      importances = nullptr;
};

struct AblationLimits {
  int max_batch_tokens = 2048;                 // tokens of one batch
  int64_t max_batch_bytes = int64_t{1} << 30;  // masks, activations and logits
  bool enter_late = true;                      // exact; tests turn it off
};

// The request has passed CheckAblation. kResourceExhausted when one row does
// not fit, the errors of `importances`, and CatchTorch's.
absl::StatusOr<std::unique_ptr<Ablation>> MakeTorchAblation(
    const AblationSubject& subject,
    const AblationRequest& request,
    const AblationLimits& limits);

}  // namespace spar::models
