// L1. Training a decomposition: what comes back, step by step.
//
// What is asked is a models/train/train_config.h. The training lives on one
// thread at a time and is stepped by its owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spar::models {

struct TrainTerm {
  std::string name = {};  // the loss's class; a number where it occurs twice
  double coefficient = 0;
  double value = 0;  // before the coefficient

  friend bool operator==(const TrainTerm&, const TrainTerm&) = default;
};

struct TrainModule {
  std::string name = {};
  int num_components = 0;
  // Mean over positions of the number of subcomponents with g above the
  // config's threshold.
  double l0 = 0;
  // Subcomponents that were above it at some position of the last
  // kAliveWindow steps.
  int alive = 0;

  friend bool operator==(const TrainModule&, const TrainModule&) = default;
};

inline constexpr int kAliveWindow = 100;

// Seconds of a step that went into one thing.
struct TrainPart {
  std::string name = {};
  double seconds = 0;
};

struct TrainProgress {
  // Steps of faithfulness alone come first and count for themselves.
  bool warming_up = false;
  int64_t step = 0;  // done, of this phase
  int64_t steps = 0;
  std::vector<TrainTerm> terms = {};
  double total = 0;                       // sum of coefficient * value
  std::vector<TrainModule> modules = {};  // empty while warming up
  double rate = 0;                        // the learning rate of the step
  // Norms before clipping; 0 where nothing is clipped.
  double components_norm = 0;
  double ci_norm = 0;
  double seconds = 0;      // of the step
  double eta_seconds = 0;  // to the last step, by the mean of recent ones
  std::vector<TrainPart> parts = {};
};

class Training {
 public:
  virtual ~Training() = default;

  virtual bool done() const = 0;
  // Steps done since the warm-up.
  virtual int64_t step() const = 0;
  // One step. Errors as Backend's, and
  //   kInternal  TRAINING_DIVERGED: a loss is no number; the weights are as
  //              before the step
  // An error is final: later calls give it again.
  virtual absl::StatusOr<TrainProgress> Next() = 0;
  // Everything that the next step depends on, as a folder that appears whole.
  //   kUnavailable  cannot be written
  virtual absl::Status Save(const std::filesystem::path& folder) const = 0;
  // Goes on where Save was called.
  //   kInvalidArgument  BAD_CHECKPOINT, also where it is of another config
  virtual absl::Status Restore(const std::filesystem::path& folder) = 0;
  // The decomposition as it is now, in its folder (docs/formats.md).
  virtual absl::Status Export(const std::filesystem::path& folder) const = 0;
};

}  // namespace spar::models
