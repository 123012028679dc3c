#include "models/train/output_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/status.h"

namespace spar::models {

absl::StatusOr<OutputLock> OutputLock::Take(
    const std::filesystem::path& folder) {
  std::error_code ignored;  // open says so
  std::filesystem::create_directories(folder, ignored);
  OutputLock lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.descriptor_ < 0) {
    return base::Error(absl::StatusCode::kUnavailable,
                       base::Cat("cannot make the folder ", folder.string()),
                       {.reason = "CANNOT_WRITE"});
  }
  if (flock(lock.descriptor_, LOCK_EX | LOCK_NB) == 0) return lock;
  return base::Error(
      absl::StatusCode::kFailedPrecondition,
      base::Cat("another training is writing into ", folder.string()),
      {.reason = "OUT_DIR_IN_USE", .metadata = {{"folder", folder.string()}}});
}

OutputLock::~OutputLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace spar::models
