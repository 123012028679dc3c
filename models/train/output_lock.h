// L1. One training at a time in one output folder, of all processes.
#pragma once

#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"

namespace spar::models {

// Holds the folder until its end; the system lets go of what a killed process
// held.
class OutputLock {
 public:
  // Makes the folder where there is none.
  //   kFailedPrecondition  OUT_DIR_IN_USE: another training is in it
  //   kUnavailable         CANNOT_WRITE
  static absl::StatusOr<OutputLock> Take(const std::filesystem::path& folder);

  OutputLock(OutputLock&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OutputLock& operator=(OutputLock&&) = delete;
  ~OutputLock();

 private:
  explicit OutputLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;  // of the open folder; -1: moved away
};

}  // namespace spar::models
