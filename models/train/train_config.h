// L1. How a decomposition is trained, as plain values. docs/training.md has the
// JSON that states it, and what each field does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/decomposition_spec.h"
#include "models/schedule.h"

namespace spar::models {

enum class LossKind {
  kFaithfulness,          // mean square of W - sum_c U_c V_c^T
  kImportanceMinimality,  // the price of importance
  kUnmaskedRecon,         // all masks 1, no Delta
  kCiMaskedRecon,         // masks g, no Delta
  kStochasticRecon,       // masks g + (1 - g) r
  kPgdRecon,              // masks g + (1 - g) s, s ascended anew in each step
  kPersistentPgdRecon,    // the same, s kept from step to step
  kStochasticHiddenActs,  // modules' outputs under stochastic masks
};

// Which modules a run replaces, at which positions.
enum class RoutingKind {
  kAll,
  // At each position k modules of M at random, k uniform in 1 to M.
  kUniformSubset,
  kStaticProbability,  // each module at each position by itself
  kLayerwise,          // one run for each module, which it alone replaces
};

struct Routing {
  RoutingKind kind = RoutingKind::kAll;
  double probability = 0;  // kStaticProbability
};

// Projected gradient ascent anew in each step: s += step_size * sign(dR/ds),
// kept in [0, 1].
struct PgdConfig {
  enum class Init { kRandom, kOnes, kZeroes };
  enum class Scope {
    kSharedAcrossBatch,   // one s for all sequences and positions
    kUniquePerDatapoint,  // one for each position of each sequence
  };
  Init init = Init::kRandom;
  double step_size = 0;
  int num_steps = 0;
  Scope scope = Scope::kSharedAcrossBatch;
};

struct PersistentPgdConfig {
  enum class Scope {
    kSingleSource,          // one s for all sequences and positions
    kBroadcastAcrossBatch,  // one for each position
    kRepeatAcrossBatch,     // num_sources for each position, each for a share
    kPerBatchPerPosition,   // one for each position of each sequence
  };
  bool adam = false;  // else by sign
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  Schedule rate = {};  // of the ascents, over the steps of training
  Scope scope = Scope::kSingleSource;
  int num_sources = 1;   // kRepeatAcrossBatch
  bool sigmoid = false;  // s = logistic(x), and x moves
  int warmup_steps = 0;  // ascents before each step's own
};

struct LossConfig {
  // The reference library's class; the second one of a class is "CLASS 2".
  std::string name = {};
  LossKind kind = LossKind::kFaithfulness;
  double coefficient = 0;
  // kImportanceMinimality
  Anneal power = {};
  double beta = 0;
  double epsilon = 1e-12;
  // The rest: of runs.
  Routing routing = {};
  int samples = 1;  // stochastic kinds: runs that are averaged
  std::optional<PgdConfig> pgd = {};
  std::optional<PersistentPgdConfig> persistent = {};
};

enum class OutputDistance { kKl, kMse };

struct ModulePattern {
  std::string pattern = {};  // of names; * and ? as in file names
  int num_components = 0;
};

struct GroupPatterns {
  std::string name = {};
  std::vector<std::string> patterns = {};
};

struct DataConfig {
  enum class Kind { kTokens, kText, kDemo };
  Kind kind = Kind::kDemo;
  std::filesystem::path path = {};  // kTokens, kText
  int token_bytes = 2;              // kTokens: little-endian, 2 or 4
  int sequence_length = 0;
};

struct TrainConfig {
  std::filesystem::path model = {};   // folder of the target
  std::filesystem::path output = {};  // folder of everything written
  DataConfig data = {};

  std::vector<ModulePattern> modules = {};
  // Without groups: those are patterns yet.
  CiSpec ci = {};
  std::vector<GroupPatterns> groups = {};
  CiSigmoid sigmoid = CiSigmoid::kLeakyHard;
  MaskSampling sampling = MaskSampling::kContinuous;
  bool use_delta = true;
  OutputDistance distance = OutputDistance::kKl;

  std::vector<LossConfig> losses = {};
  uint64_t seed = 0;
  int steps = 0;
  int batch_size = 0;  // sequences
  Schedule rate = {};
  // Of the gradients of V and U, and of the CI function's; absent: none.
  std::optional<double> clip_components = {};
  std::optional<double> clip_ci = {};
  int warmup_steps = 0;  // on faithfulness alone, before step 0
  double warmup_rate = 1e-3;
  double warmup_weight_decay = 0;

  double alive_threshold = 0;  // of g
  int log_every = 100;         // steps
  int save_every = 1000;       // steps; and at the end
  // SHA-256 of all that the weights depend on: what a checkpoint must share.
  std::string digest = {};
};

}  // namespace spar::models
