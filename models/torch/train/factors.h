// L1t. V and U of every module of a target, trained.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/train/target.h"

namespace spar::models {

// W is approximated by sum_c U[c] V[c]^T. One thread at a time. Throws
// c10::Error.
class TrainedFactors {
 public:
  // `modules`: the target's, with num_components. V is drawn normal of variance
  // 1 / d_in, U of variance 1 / C; an embedding's d_in is its vocabulary.
  TrainedFactors(const TrainTarget& target,
                 const std::vector<DecomposedModule>& modules,
                 uint64_t seed);

  size_t size() const { return modules_.size(); }
  const DecomposedModule& module(size_t m) const { return modules_[m]; }
  const at::Tensor& weight(size_t m) const { return weights_[m]; }
  // Leaves that want gradients: [C, d_in], and [C, d_out] with outputs in the
  // target's order. Tied modules share theirs.
  const at::Tensor& v(size_t m) const { return v_[m]; }
  const at::Tensor& u(size_t m) const { return u_[m]; }
  // Each leaf once, with a name.
  const std::vector<std::pair<std::string, at::Tensor>>& parameters() const {
    return parameters_;
  }
  std::vector<at::Tensor> leaves() const;

  // The mean square of all entries of Delta = W - sum_c U[c] V[c]^T, over all
  // modules together (VPD, section 2).
  // Adds `scale` times its slopes to the gradients of V and U, in closed form:
  // with Delta at hand they are two products by module,
  //   dL/dV = -2/n U Delta,  dL/dU = -2/n V Delta^T.
  double AddFaithfulness(double scale);
  // The same number alone.
  double Faithfulness() const;

 private:
  at::Tensor Delta(size_t m) const;

  std::vector<DecomposedModule> modules_;
  std::vector<at::Tensor> weights_ = {};
  std::vector<at::Tensor> v_ = {}, u_ = {};
  std::vector<std::pair<std::string, at::Tensor>> parameters_ = {};
  double num_entries_ = 0;  // of all weights
};

}  // namespace spar::models
