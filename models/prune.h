// L1. Per-prompt pruning: what is asked, and what comes back.
//
// For one prompt, one of its positions and one price, causal importances are
// optimised anew: as small as can be while a run masked with them still says
// the target there (VPD, section 5.2). The parameters are the CI logits z of
// the nodes (subcomponent x position) that the decomposition holds alive up to
// that position; every other node stays at 0. One optimisation takes many rows,
// one for each prompt and price, side by side; no row knows of another. A row's
// loss, with g the importance after the lower sigmoid and h after the upper:
//   weight R(masks) + adversary.weight R(attacked masks) + price I(h)
// R is the cross-entropy of the target or KL(model || run) at the position. For
// I: Note [The price of importance].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/row.h"
#include "models/schedule.h"

namespace spar::models {

inline constexpr int32_t kLastPosition = -1;

struct PrunePrompt {
  std::vector<TokenId> tokens = {};
  int32_t position = kLastPosition;  // whose next token is told
  // What is to be said there; absent: what the model itself says.
  std::optional<TokenId> target = {};
};

enum class PruneLoss { kCrossEntropy, kDivergence };

enum class PruneMasks {
  kCausalImportance,  // m = g, Delta 0: the paper's second kind
  // m = g + (1 - g) u and d = u', u and u' uniform in [0, 1], also for what is
  // not alive; with an adversary the paper's first kind.
  kStochastic,
};

// Projected gradient ascent on s in m = g + (1 - g) s of the nodes alive at the
// start, Delta 0: s starts uniform, anew in each step of the optimisation,
// moves by step_size * sign(d R / d s), and is kept in [0, 1]. Of several
// restarts a row takes the one that hurts it most.
struct PruneAdversary {
  int steps = 20;  // 1 to 1,000
  double step_size = 0.1;
  int restarts = 1;  // 1 to 16
  double weight = 1;
};

// Note [The price of importance]
// S_c = sum over the prompt's positions t of (h_c(t) + epsilon)^p, of every
// subcomponent c of every module, the dead too;
//   I = sum_c S_c / N (1 + beta log2(1 + S_c)),  N the positions or 1
// (VPD; `spd`'s importance minimality, where N is the prompt's length, so that
// one coefficient prunes long prompts less.) p moves from `power` to
// `final_power` linearly between two shares of the steps.
struct PruneNorm {
  double power = 0.3;
  std::optional<double> final_power = {};  // absent: `power` throughout
  double anneal_begin = 0;                 // in [0, 1], at most anneal_end
  double anneal_end = 1;
  double beta = 0;
  double epsilon = 1e-12;
  bool per_position = true;  // divides by the prompt's length
};

// Of the learning rate.
using PruneRate = Schedule;

// A row ends early when for `patience` steps its loss, averaged over the last
// ten or so, has not fallen by a share `change` of itself below its least.
// Counted from the end of the annealing on.
struct PruneStop {
  int patience = 0;  // 0: never
  double change = 1e-3;
};

enum class PruneStart {
  kImportances,  // z of the decomposition's CI function
  kOnes,         // z = 1, everything alive on
};

struct PruneRequest {
  std::string decomposition = {};         // its name
  std::vector<PrunePrompt> prompts = {};  // 1 to 256
  // Prices of importance, 1 to 64; with several a prompt's rows are a curve of
  // size against loss.
  std::vector<double> coefficients = {1e-3};
  PruneLoss loss = PruneLoss::kCrossEntropy;
  double weight = 1;  // of the masked run's loss; 0: the adversary's alone
  PruneMasks masks = PruneMasks::kStochastic;
  std::optional<PruneAdversary> adversary = {};
  PruneNorm norm = {};
  int steps = 2000;  // 1 to 20,000
  PruneRate rate = {};
  PruneStart start = PruneStart::kImportances;
  double alive_threshold = 0;     // g above it at the start: a parameter
  double rounding_threshold = 0;  // g above it at the end: a node of the result
  PruneStop stop = {};
  // Of every random draw. A row's draws depend on it, on the prompt, position
  // and price, and on nothing else of the request.
  uint64_t seed = 0;
};

struct PruneLosses {
  double masked = 0;    // R, before its weight
  double attacked = 0;  // R under the adversary; 0 without
  double price = 0;     // I, before its coefficient
  double total = 0;     // the weighted sum
};

// What a run says at the position.
struct PruneReading {
  double kl = 0;             // KL(model || run), nats
  double cross_entropy = 0;  // of the target, nats
  double probability = 0;    // of the target
  double margin = 0;         // the target's logit less the largest other
};

struct PrunedNode {
  int32_t module = 0;  // of DecompositionSpec::modules
  int32_t position = 0;
  int32_t component = 0;  // within the module
  float importance = 0;   // g

  friend bool operator==(const PrunedNode&, const PrunedNode&) = default;
};

// One prompt at one price.
struct PrunedRow {
  int prompt = 0;       // of PruneRequest::prompts
  int coefficient = 0;  // of PruneRequest::coefficients
  int32_t position = 0;
  TokenId target = 0;
  int64_t num_parameters = 0;  // nodes at the start
  // With g > rounding_threshold, by module, position, component.
  std::vector<PrunedNode> nodes = {};
  double l0 = 0;  // nodes by position of the prompt
  int steps = 0;  // used
  bool stopped_early = false;
  PruneLosses losses = {};  // of the last step
  PruneReading model = {};
  PruneReading masked = {};   // m = g, Delta 0
  PruneReading rounded = {};  // m = 1 for the nodes, else 0; Delta 0
  // Under a fresh attack on g, as the request's.
  std::optional<PruneReading> attacked = {};
};

// A row on its way.
struct PruneState {
  int prompt = 0;
  int coefficient = 0;
  int steps = 0;  // done
  bool ended = false;
  int64_t size = 0;         // nodes with g > rounding_threshold
  PruneLosses losses = {};  // of the last step
};

// An optimisation in progress. Next belongs to its backend's thread; the object
// ends before the backend, on any thread.
class Pruning {
 public:
  virtual ~Pruning() = default;

  // Whether all rows have been given.
  virtual bool done() const = 0;
  // Of every row, by prompt, then coefficient, after the latest step.
  virtual const std::vector<PruneState>& states() const = 0;
  // A bounded piece of work, about a batch forth and back, and the rows that
  // it brought to their end, each once. Errors as Backend's, and
  //   kInvalidArgument    PROMPT_TOO_LONG for the CI function
  //   kResourceExhausted  PRUNING_TOO_LARGE, with both numbers
  virtual absl::StatusOr<std::vector<PrunedRow>> Next() = 0;
};

}  // namespace spar::models
