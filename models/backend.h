// L1. The only door to a model: rows in, numbers out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/importances.h"
#include "models/row.h"
#include "models/unit_table.h"

namespace spar::models {

class Ablation;
class AttributionSink;
struct AblationRequest;
struct AttributionRequest;
struct AttributionSummary;
class Evaluation;
struct EvaluationRequest;
class Pruning;
struct PruneRequest;

// What a model is. Sizes are counts.
struct ModelInfo {
  std::string family = {};          // config.json's model_type
  std::string digest = {};          // of weights and config, 64 hex digits
  std::string weights_digest = {};  // of the tensors alone
  std::string config_json = {};     // canonical JSON of the fields that matter
  int num_layers = 0;
  int width = 0;  // of the residual stream
  int num_heads = 0;
  int num_neurons = 0;  // per layer
  int vocab_size = 0;
  int context_length = 0;  // longest prompt, in tokens
  int64_t num_parameters = 0;
  std::string dtype = {};   // "float32"
  std::string device = {};  // "cpu", "cuda:0"
};

// Measured at load; search.md §3.8. Seconds are of one batch of rows of
// `tokens` positions: t0_seconds + num_rows * t1_seconds.
struct Calibration {
  double t0_seconds = 0;
  double t1_seconds = 0;
  int tokens = 0;
  // Largest margin difference seen between a row alone, in a batch, and in the
  // plain path, in logits.
  double noise_floor = 0;
};

struct TokenScore {
  TokenId token = 0;
  float logit = 0;
  float log_probability = 0;
};

// One position of a prediction: what the model says comes next.
struct PositionPrediction {
  std::vector<TokenScore> top = {};  // descending by logit, ties by id
  // Log-probability of the prompt's own next token; 0 at the last position.
  float next_token_log_probability = 0;
};

// Not thread-safe: one worker thread per device owns it. Keeps no reference to
// its arguments. Errors of every call:
//   kInvalidArgument    a row that does not fit the model (caller's mistake);
//                       all rows are checked before any is run
//   kResourceExhausted  does not fit in memory; retry with fewer rows
//   kFailedPrecondition mean reference asked of a model without one
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const ModelInfo& info() const = 0;
  virtual const UnitTable& units() const = 0;
  virtual const Calibration& calibration() const = 0;

  // Token ids of the model's reference prompts; empty where it has none. They
  // define the mean reference, and the tokens that grounded searches put in
  // place of others.
  virtual std::span<const std::vector<TokenId>> reference_prompts() const = 0;

  // Digest of what defines the values outside S, so that an independent program
  // can compute it: SHA-256 of "zero", or of "mean" followed by the reference
  // prompts as canonical JSON ("mean[[1,2],[3]]").
  virtual absl::StatusOr<std::string> ReferenceDigest(ReferenceKind kind) = 0;

  // One result per row, in order. Rows may differ in prompt, S, T, and mode.
  virtual absl::StatusOr<std::vector<RowResult>> Evaluate(
      std::span<const Row> rows) = 0;

  // One gradient per row, in order.
  virtual absl::StatusOr<std::vector<RowGradient>> Gradients(
      std::span<const GradientRow> rows) = 0;

  // The margin of one row by the checker's own code path: dense masks, one row
  // at a time, float64, no reuse.
  virtual absl::StatusOr<double> EvaluateExactly(const Row& row) = 0;

  // The unrestricted model at every position of `tokens`; [position].
  virtual absl::StatusOr<std::vector<PositionPrediction>> Predict(
      std::span<const TokenId> tokens, int top_k) = 0;

  // The decomposition of this name; null when there is none. Lives as long as
  // the backend; any thread may ask.
  virtual const DecompositionSpec* FindDecomposition(
      std::string_view name) const = 0;

  // Begins an ablation: models/ablation.h. It ends before the backend. Errors
  // also as models/ablation_check.h; kNotFound DECOMPOSITION_NOT_FOUND.
  virtual absl::StatusOr<std::unique_ptr<Ablation>> Ablate(
      const AblationRequest& request) = 0;

  // The decompositions resident beside the model, by name; fixed at load.
  virtual std::span<const DecompositionInfo> decompositions() const = 0;

  // Causal importances and subcomponent activations of one decomposition, one
  // answer per prompt, in order. Errors beyond those above: kNotFound
  // DECOMPOSITION_NOT_FOUND; kInvalidArgument THRESHOLD_OUT_OF_RANGE (a
  // threshold that is no number of [0, 1]), PROMPT_TOO_LONG for its causal
  // importance function. Fields are paths as "prompts[3].tokens[7]".
  virtual absl::StatusOr<std::vector<PromptImportances>> Importances(
      std::string_view decomposition,
      std::span<const std::vector<TokenId>> prompts,
      const ImportanceOptions& options) = 0;

  // The attribution graph of one run, streamed to `sink` as it is computed:
  // models/attribution.h. The sink's error ends the work and is returned.
  // Errors also kNotFound DECOMPOSITION_NOT_FOUND; kFailedPrecondition
  // NO_ATTRIBUTION where this backend makes no graphs, as here.
  virtual absl::StatusOr<AttributionSummary> Attribute(
      const AttributionRequest& request, AttributionSink& sink);

  // Begins a pruning: models/prune.h. It ends before the backend. Errors also
  // as models/prune_check.h; kNotFound DECOMPOSITION_NOT_FOUND;
  // kFailedPrecondition NO_PRUNING where this backend prunes nothing, as here.
  virtual absl::StatusOr<std::unique_ptr<Pruning>> Prune(
      const PruneRequest& request);

  // Begins to judge a decomposition: models/evaluation.h. It ends before the
  // backend. Errors also as models/evaluation_check.h; kNotFound
  // DECOMPOSITION_NOT_FOUND; kInvalidArgument PROMPT_TOO_LONG for the CI
  // function; kFailedPrecondition NO_EVALUATION where this backend evaluates
  // nothing, as here.
  virtual absl::StatusOr<std::unique_ptr<Evaluation>> EvaluateDecomposition(
      const EvaluationRequest& request);
};

}  // namespace spar::models
