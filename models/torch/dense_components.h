// L1t. The checker's run of a row over a decomposition's units.
//
// Every masked weight is recomposed densely in float64,
// W' = sum_c m_c U_c V_c^T + d (W - sum_c U_c V_c^T), for each position where
// masks differ, from the numbers in the decomposition's folder. Nothing of the
// engine is shared but the descriptions of model and decomposition.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition/decomposition.h"
#include "models/row.h"
#include "models/torch/dense_rows.h"
#include "models/torch/dense_weights.h"

namespace spar::models {

// Not thread-safe. Throws c10::Error.
class DenseComponents {
 public:
  // `weights` and `reference_prompts` outlive this.
  DenseComponents(std::shared_ptr<const Decomposition> decomposition,
                  DenseWeights& weights,
                  const std::vector<std::vector<TokenId>>& reference_prompts);

  const DecompositionSpec& spec() const { return decomposition_->spec(); }

  // Logits of the last position, [vocab]. The row fits the model and is of this
  // decomposition.
  at::Tensor Logits(const Row& row);

 private:
  static constexpr int64_t kKeptBytes = int64_t{256} << 20;

  // The masks of one module at each position.
  struct Masks {
    std::vector<std::vector<int32_t>> kept = {};  // subcomponents, ascending
    std::vector<bool> delta = {};
  };
  // Over the reference prompts: what the module reads; of the embedding its
  // activations and what it writes.
  struct Means {
    DenseMean input = {};
    DenseMean written = {};
  };

  Masks MasksOf(const Row& row, int module, const DensePrompt& prompt) const;
  at::Tensor Factor(const std::string& name) const;
  at::Tensor FactorRows(const std::string& name,
                        const std::vector<int32_t>& rows) const;
  // The module's weight, and what all subcomponents lack of it.
  at::Tensor Whole(int module);
  at::Tensor Delta(int module);
  // sum_c U_c V_c^T of the kept.
  at::Tensor Recomposed(int module, const std::vector<int32_t>& kept) const;
  // [position][out] of the whole weight.
  at::Tensor Product(int module,
                     const Masks& masks,
                     const at::Tensor& x,
                     const at::Tensor& mean_x);
  // [position][width]; `rows`: the target's own.
  at::Tensor Embedding(const Masks& masks,
                       const std::vector<TokenId>& ids,
                       const at::Tensor& rows,
                       bool mean);
  // [position][C]: the column of V that each token reads.
  at::Tensor TokenActivations(const std::vector<TokenId>& ids) const;
  const std::vector<Means>& MeansOf();

  const std::shared_ptr<const Decomposition> decomposition_;
  DenseWeights& weights_;
  const std::vector<std::vector<TokenId>>& reference_prompts_;
  std::map<std::string, int> module_of_ = {};  // by the weight's tensor
  int embedding_ = -1;
  std::map<int, at::Tensor> deltas_ = {};  // kept while they fit
  int64_t kept_bytes_ = 0;
  std::vector<Means> means_ = {};  // made when first asked for
};

}  // namespace spar::models
