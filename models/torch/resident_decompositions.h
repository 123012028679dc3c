// L1t. The decompositions that lie beside a model on its device, by name.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "models/decomposition/decomposition.h"
#include "models/importances.h"
#include "models/row.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/component_rows.h"
#include "models/torch/decomposed_decoder.h"
#include "models/torch/decomposition/loaded_decomposition.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

struct ResidentDecomposition {
  std::shared_ptr<const LoadedDecomposition> loaded = nullptr;  // of all twins
  std::unique_ptr<DecomposedDecoder> decoder = nullptr;  // the same factors
  std::unique_ptr<ComponentRows> rows = nullptr;         // of `decoder`
};

// Filled once, then read. One thread.
class ResidentDecompositions {
 public:
  // Loads all of `named` beside `decoder`, which has the weights of `snapshot`.
  // It and `reference_prompts` outlive this. Call once. Errors:
  //   kInvalidArgument    BAD_DECOMPOSITION_NAME for a name that is taken, and
  //                       as LoadedDecomposition::Load
  //   kResourceExhausted  one does not fit
  absl::Status Load(std::span<const NamedDecomposition> named,
                    const Snapshot& snapshot,
                    const Decoder& decoder,
                    at::ScalarType dtype,
                    const std::vector<std::vector<TokenId>>& reference_prompts);
  // The same for another thread, beside its `decoder` of the same weights.
  ResidentDecompositions Twin(
      const Decoder& decoder,
      const std::vector<std::vector<TokenId>>& reference_prompts) const;

  std::span<const DecompositionInfo> infos() const { return infos_; }
  // By its index among infos().
  const ResidentDecomposition& at(size_t index) const { return all_[index]; }
  // Null when there is none of this name.
  const ResidentDecomposition* Find(std::string_view name) const;

 private:
  std::vector<ResidentDecomposition> all_ = {};
  std::vector<DecompositionInfo> infos_ = {};  // of each
};

}  // namespace spar::models
