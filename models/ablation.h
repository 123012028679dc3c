// L1. Runs of a model with parts of it taken out, scaled or set: what is asked,
// and what streams back.
//
// A run multiplies every subcomponent c of every decomposed weight at every
// position t by a mask and Delta by another (docs/formats.md):
//   y(t) = sum_c m_c(t) a_c(t) U_c + d(t) Delta x(t) + bias
// A strategy says what the masks are (VPD, section 2; the masks of its tables),
// interventions change some of them. Heads and neurons have masks too, 1 unless
// an intervention says otherwise, so a model without a decomposition can be
// ablated as well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/row.h"

namespace spar::models {

enum class MaskStrategy {
  kTarget,            // m = 1, d = 1: the model itself
  kUnmasked,          // m = 1, d = 0
  kCausalImportance,  // m = g, d = 0
  kRounded,           // m = 1 where g > threshold, else 0; d = 0
  kStochastic,        // m = g + (1 - g) u, d = u', u and u' uniform in [0, 1]
  kAdversarial,       // m = g + (1 - g) s, d = s', that s in [0, 1] which hurts
  kNone,              // m = 0, d = 0: only what interventions set
};

enum class InterventionKind { kSubcomponent, kDelta, kHead, kNeuron };

inline constexpr int32_t kEveryPosition = -1;

// Changes the masks of one part: m becomes factor * m + offset, so factor 0
// with offset v sets it to v, and factor f with offset 0 scales it.
// Interventions of one run act in their order.
struct Intervention {
  InterventionKind kind = InterventionKind::kSubcomponent;
  int32_t site = 0;   // module of the decomposition; of heads, neurons: layer
  int32_t index = 0;  // within the site; of Delta 0
  int32_t position = kEveryPosition;
  double factor = 0;
  double offset = 0;

  friend bool operator==(const Intervention&, const Intervention&) = default;
};

// Projected gradient ascent on the sources s (VPD's attack): s starts uniform,
// moves by step_size * sign(d loss / d s), and is kept in [0, 1]; the loss is
// the mean over the positions read of KL(model || run). Of several restarts the
// one that hurts most is taken.
struct AdversaryOptions {
  int steps = 20;  // 1 to 1,000
  double step_size = 0.1;
  int restarts = 1;               // 1 to 16
  bool shared_positions = false;  // one source for all positions
};

enum class SweepKind {
  kEach,        // each of the swept alone, in turn
  kCumulative,  // the first, the first two, ...
};

struct TokenEdit {
  int32_t position = 0;
  TokenId token = 0;
};

// Continues the prompt under the masks, token by token.
struct GenerationOptions {
  int max_tokens = 0;      // 0: no generation; at most 256
  double temperature = 0;  // 0: the strongest token, the lowest id among equals
};

struct AblationRequest {
  std::vector<TokenId> tokens = {};
  // Of the masked runs alone; the model itself reads `tokens`.
  std::vector<TokenEdit> edits = {};
  std::string decomposition = {};  // its name; empty: none
  MaskStrategy strategy = MaskStrategy::kTarget;
  double threshold = 0;  // kRounded
  int samples = 1;       // kStochastic: runs of each step; at most 64
  AdversaryOptions adversary = {};
  uint64_t seed = 0;  // of every random draw
  // In place of the strategy's d.
  std::optional<double> delta = {};
  std::vector<Intervention> interventions = {};  // in every run
  // Steps: besides the run with `interventions` alone one for each of these.
  std::vector<Intervention> swept = {};
  SweepKind sweep = SweepKind::kEach;
  GenerationOptions generation = {};  // excludes `swept` and several samples
  // Whose margin is told; absent: at each position what the model itself says.
  std::optional<TokenId> target = {};
  bool every_position = false;  // read all positions, not only the last
  int top_k = 5;                // 0 to 100
};

// What one run says after one position.
struct AblatedPosition {
  int32_t position = 0;
  std::vector<TokenScore> top = {};  // descending by logit, ties by id
  double kl = 0;  // KL(model || run) of the next token, in nats
  // -log p of the prompt's own next token; absent at its last position.
  std::optional<double> cross_entropy = {};
  TokenId target = 0;
  double target_log_probability = 0;
  double margin = 0;  // the target's logit less the largest other
};

struct AblationRow {
  int64_t step = -1;  // of `swept`, counted from 0; -1: `interventions` alone
  int sample = 0;
  // The token that this run was read for, in a generation.
  std::optional<TokenId> generated = {};
  std::vector<AblatedPosition> positions = {};
};

// An ablation in progress. Next belongs to its backend's thread; the object
// ends before the backend, on any thread.
class Ablation {
 public:
  virtual ~Ablation() = default;

  // The unmasked model on the prompt as it stands, at the positions read.
  virtual const std::vector<AblatedPosition>& baseline() const = 0;
  // Rows in all; of a generation at most.
  virtual int64_t num_rows() const = 0;
  // Whether all rows have been given.
  virtual bool done() const = 0;
  // A bounded piece of work, about a batch, and the rows that it gave: at most
  // `max_rows` (at least one), or none where they need more work, as between
  // the steps of an adversary. Sample by sample, in each the steps in order; a
  // generation gives one row at a time. Errors as Backend's.
  virtual absl::StatusOr<std::vector<AblationRow>> Next(int max_rows) = 0;
};

}  // namespace spar::models
