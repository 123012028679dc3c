// L5. What Train needs of whoever trains: the composition root, which sees the
// trainer.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "models/training.h"
#include "server/service/model_registry.h"

namespace spar::service {

struct TrainingOrder {
  const ServedModel* model = nullptr;  // the target
  std::string config_json = {};
  bool resume = false;
};

// Paths are in the host's folder.
struct TrainingBegin {
  std::string config_digest = {};
  std::string out_dir = {};
};

struct TrainingResult {
  bool done = false;  // else an observer stopped it
  // Of the decomposition, where it is done.
  std::string path = {};
  std::string digest = {};
};

// Told of a training by the thread that trains; waits for nothing.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;

  // The configuration is read, and work begins.
  virtual void OnBegin(const TrainingBegin& begin) = 0;
  // Whether to go on; if not, a checkpoint follows. `is_logged`: metrics.jsonl
  // has the step.
  virtual bool OnStep(const models::TrainProgress& progress,
                      bool is_logged) = 0;
  virtual void OnCheckpoint(int64_t step, const std::string& path) = 0;
};

class TrainingHost {
 public:
  virtual ~TrainingHost() = default;

  // Trains to the end on the calling thread. Errors as the service says.
  virtual absl::StatusOr<TrainingResult> Train(const TrainingOrder& order,
                                               TrainingObserver& observer) = 0;
};

}  // namespace spar::service
