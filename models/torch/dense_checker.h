// L1t. The margin of a row by a second code path, for certificates and tests.
//
// Float64, one row at a time, the whole prompt: heads and neurons outside S are
// overwritten in dense activations, weights that lack subcomponents are
// recomposed, removed keys are masked in attention. It has its own
// reading of the weights, its own transformer and its own mean activations, and
// shares with the engine only what describes the model (DecoderSpec).
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/row.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/torch_backend.h"
#include "models/unit_table.h"

namespace at {
class Tensor;
}

namespace spar::models {

class DenseComponents;
class DenseWeights;

// Not thread-safe.
class DenseChecker {
 public:
  // kInvalidArgument when a reference prompt does not fit the model.
  static absl::StatusOr<std::unique_ptr<DenseChecker>> Make(
      std::shared_ptr<const Snapshot> snapshot,
      std::vector<std::vector<TokenId>> reference_prompts,
      std::span<const NamedDecomposition> decompositions = {});
  ~DenseChecker();

  // Logit of the target minus the largest other logit at the last position.
  // kInvalidArgument for a row that does not fit the model; kNotFound
  // DECOMPOSITION_NOT_FOUND for units of one that it lacks;
  // kFailedPrecondition for a mean reference without reference prompts;
  // kResourceExhausted when memory runs out.
  absl::StatusOr<double> Margin(const Row& row);

  // All logits of the last position, [vocab]. Errors as Margin.
  absl::StatusOr<std::vector<double>> Logits(const Row& row);

 private:
  // What a unit holds outside S, [layer]: [position][head x head_dim] and
  // [position][neuron].
  struct MeanActivations;

  DenseChecker(std::shared_ptr<const Snapshot> snapshot,
               std::vector<std::vector<TokenId>> reference_prompts,
               std::span<const NamedDecomposition> decompositions);

  absl::StatusOr<int64_t> CountUnitsOf(const Prompt& prompt) const;
  absl::Status Check(const Row& row) const;
  const MeanActivations& Mean();
  at::Tensor Run(const Row& row);

  const std::shared_ptr<const Snapshot> snapshot_;
  const UnitTable units_;
  const std::vector<std::vector<TokenId>> reference_prompts_;
  const std::unique_ptr<DenseWeights> weights_;
  std::map<std::string, std::unique_ptr<DenseComponents>> components_;
  std::unique_ptr<MeanActivations> mean_;  // made when first asked for
};

}  // namespace spar::models
