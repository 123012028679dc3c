// L5. All that an evaluation came to, put together from the messages of its
// stream.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

#include "spar/v1/evaluation.pb.h"

namespace spar::client {

struct EvaluationAnswer {
  v1::EvaluationHeader header = {};
  v1::EvaluatedFaithfulness faithfulness = {};
  v1::EvaluatedSparsity sparsity = {};
  std::vector<v1::EvaluatedModuleSparsity> modules = {};  // as header.modules
  // Of all modules, then of each subset.
  std::vector<v1::EvaluatedReconstruction> reconstructions = {};
  std::vector<v1::EvaluatedSparsityCurve> curves = {};
  // Of importances as masks, then of stochastic ones.
  std::vector<v1::EvaluatedOutputErrors> output_errors = {};
  std::vector<v1::EvaluatedPatternErrors> pattern_errors = {};
  std::vector<v1::EvaluatedAttackCurve> attacks = {};
  v1::EvaluationSummary summary = {};
};

// Not thread-safe.
class EvaluationReader {
 public:
  // kDataLoss where the messages do not fit each other: no header or a second
  // one, lists that are not as long as the header's modules, anything after the
  // summary.
  absl::Status Add(const v1::EvaluateResponse& message);
  // kDataLoss unless everything that the header's options ask for has come.
  absl::StatusOr<EvaluationAnswer> Finish() &&;

 private:
  absl::Status AddModule(const v1::EvaluatedModuleSparsity& module);
  absl::Status CheckCount(int count) const;

  EvaluationAnswer answer_;
  bool started_ = false;
  bool ended_ = false;
  bool has_faithfulness_ = false;
  bool has_sparsity_ = false;
};

}  // namespace spar::client
