// L1. How good a decomposition is: what is asked, and what comes back.
//
// Rows of tokens are read batch by batch. Every number is a mean over all their
// positions (of a cross-entropy: over all that have a next token), kept as
// streaming sums. Masks m are of subcomponents, d of Delta, g is the causal
// importance (VPD, section 2; docs/decompositions.md says how to read them).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "models/importances.h"
#include "models/row.h"

namespace spar::models {

// The rows of VPD's table of masking strategies.
enum class EvaluationMasks {
  kTarget,            // m = 1, d = 1: the model itself
  kUnmasked,          // m = 1, d = 0
  kCausalImportance,  // m = g, d = 0
  kRounded,           // m = 1 where g > rounding_threshold, else 0; d = 0
  // m = g + (1 - g) u, d = u', u and u' uniform in [0, 1] by position; d = 0
  // where training left Delta out.
  kStochastic,
  kRandom,  // m uniform in [0, 1], d = 0
  kZero,    // m = 0, d = 0
};

// Whom one source of an attack is for.
enum class AttackScope {
  kSharedAcrossBatch,  // all positions of a batch
  kPerDatapoint,       // one position
};

// Projected gradient ascent on s in m = g + (1 - g) s, d = s': s starts
// uniform, moves by step_size * sign(d loss / d s), and is kept in [0, 1]; the
// loss is the mean KL(model || run) of the batch (spd's PGDReconLoss). d = 0
// where training left Delta out.
struct EvaluationAttack {
  // After which the damage is told; ascending, each in [0, 1,000].
  std::vector<int> step_counts = {1, 5, 20, 80};
  double step_size = 0.1;
  int restarts = 1;  // 1 to 16; at each step count the worst counts
  std::vector<AttackScope> scopes = {AttackScope::kSharedAcrossBatch,
                                     AttackScope::kPerDatapoint};
  int max_batches = 0;  // the first so many; 0: all
};

// Runs in which these modules alone are masked, the others the model's own.
struct EvaluationSubset {
  std::string name = {};
  std::vector<int> modules = {};  // of DecompositionSpec::modules
};

struct EvaluationRequest {
  std::string decomposition = {};               // its name
  std::vector<std::vector<TokenId>> rows = {};  // each of 2 tokens at least
  int batch_rows = 0;                           // EvaluationBatches
  double alive_threshold = 0;                   // g above it is active
  double alive_mean = 1e-6;                     // mean g above it is alive
  double rounding_threshold = 0;                // kRounded
  int samples = 1;                              // of kStochastic and kRandom
  std::vector<double> sweep = {};               // thresholds of the curve
  std::vector<EvaluationSubset> subsets = {};   // beside all modules
  std::optional<EvaluationAttack> attack = {};
  // Of every random draw. Draws depend on it and on the place in its batches.
  uint64_t seed = 0;
};

// [first, last) rows of each batch: batch_rows, or where that is 0 as many as
// have 2,048 tokens together if all were as long as the longest, one at least.
std::vector<std::pair<size_t, size_t>> EvaluationBatches(
    const EvaluationRequest& request);

// How far the factors are from the weights: mean squares of the entries of
// Delta and of W (VPD's faithfulness loss is the former over all modules).
struct DeltaShare {
  double delta = 0;
  double weight = 0;

  double relative() const { return weight > 0 ? delta / weight : 0; }
};
struct Faithfulness {
  std::vector<DeltaShare> modules = {};
  DeltaShare all = {};  // over the entries of all modules
};
// From what loading found out.
Faithfulness FaithfulnessOf(const DecompositionInfo& info);

struct ModuleSparsity {
  double mean_l0 = 0;                        // active subcomponents by position
  int64_t num_alive = 0;                     // mean g > alive_mean
  int64_t num_active = 0;                    // active at one position at least
  std::vector<float> mean_importances = {};  // [C]
  std::vector<float> densities = {};  // [C]: share of positions where active
};
struct Sparsity {
  std::vector<ModuleSparsity> modules = {};
  int64_t num_positions = 0;
};

// What runs under some masks say.
struct MaskedReading {
  EvaluationMasks masks = EvaluationMasks::kTarget;
  double cross_entropy = 0;  // of the next token, nats
  double difference = 0;     // less the model's own
  // The difference over that of kZero; absent where the latter is none.
  std::optional<double> unrecovered = {};
  double kl = 0;  // KL(model || run), nats
};

inline constexpr int kAllModules = -1;

struct Reconstruction {
  int subset = kAllModules;                  // of EvaluationRequest::subsets
  std::vector<MaskedReading> readings = {};  // by EvaluationMasks
};

// Squared error of what modules write against the clean run, beside the mean
// square of the clean run's: means over positions and outputs, in which every
// module runs on what its masked run reads. (spd's hidden-activation metric, of
// module outputs.)
struct OutputError {
  double error = 0;
  double clean = 0;
};
struct OutputErrors {
  EvaluationMasks masks = EvaluationMasks::kStochastic;
  std::vector<OutputError> modules = {};
  OutputError all = {};  // over the outputs of all modules
};

// KL(clean pattern || masked pattern) of attention, mean over positions as
// queries and over heads; both patterns are the runs' own.
struct PatternErrors {
  EvaluationMasks masks = EvaluationMasks::kStochastic;
  std::vector<double> layers = {};
  double all = 0;
};

// Cross-entropy against sparsity, VPD's figure 4: m = 1 where g > threshold,
// else 0; d = 0.
struct SparsityPoint {
  double threshold = 0;
  std::vector<double> module_l0 = {};  // [module]; 0 of those not masked
  double mean_l0 = 0;                  // their sum
  double active_parameters = 0;        // sum of (d_in + d_out) of the active
  double cross_entropy = 0;
  double difference = 0;
  double kl = 0;
};
struct SparsityCurve {
  int subset = kAllModules;
  std::vector<SparsityPoint> points = {};  // as EvaluationRequest::sweep
};

struct AttackPoint {
  int steps = 0;
  double kl = 0;
  double cross_entropy = 0;
  double difference = 0;
};
struct AttackCurve {
  AttackScope scope = AttackScope::kSharedAcrossBatch;
  std::vector<AttackPoint> points = {};
  int64_t num_positions = 0;  // read
};

using EvaluationPart = std::variant<Faithfulness,
                                    Sparsity,
                                    Reconstruction,
                                    OutputErrors,
                                    PatternErrors,
                                    SparsityCurve,
                                    AttackCurve>;

enum class EvaluationPhase { kReconstruction, kSubset, kAttack };

struct EvaluationState {
  EvaluationPhase phase = EvaluationPhase::kReconstruction;
  int64_t steps = 0;  // pieces of work done, about a run each
  int64_t max_steps = 0;
};

// An evaluation in progress. Next belongs to its backend's thread; the object
// ends before the backend, on any thread.
class Evaluation {
 public:
  virtual ~Evaluation() = default;

  virtual bool done() const = 0;
  virtual const EvaluationState& state() const = 0;
  // A bounded piece of work, at most a batch forth and back, and the parts that
  // it brought to their end, each once and in the order of EvaluationPart, but
  // a subset's reconstruction and curve after all else that is not attacked;
  // output and pattern errors of kCausalImportance, then of kStochastic. Errors
  // as Backend's, and
  //   kResourceExhausted  EVALUATION_TOO_LARGE, with both numbers
  virtual absl::StatusOr<std::vector<EvaluationPart>> Next() = 0;
};

}  // namespace spar::models
