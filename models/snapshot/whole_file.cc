#include "models/snapshot/whole_file.h"

#include <atomic>
#include <fstream>
#include <system_error>

#include <unistd.h>

#include "base/status.h"

namespace spar::models {
namespace {

absl::Status CannotWrite(const std::filesystem::path& path,
                         std::string_view why) {
  return base::Error(
      absl::StatusCode::kUnavailable, base::Cat(path.string(), ": ", why),
      {.reason = "CANNOT_WRITE", .metadata = {{"file", path.string()}}});
}

}  // namespace

absl::Status WriteWholeFile(const std::filesystem::path& path,
                            std::span<const std::string_view> pieces) {
  static std::atomic<int> counter = 0;
  const std::filesystem::path partial =
      base::Cat(path.string(), ".", getpid(), ".", counter++, ".partial");
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  for (const std::string_view piece : pieces) file << piece;
  file.close();
  std::error_code error;
  if (!file.fail()) {
    std::filesystem::rename(partial, path, error);
    if (!error) return absl::OkStatus();
  }
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  return CannotWrite(path, error ? error.message() : "write failed");
}

absl::Status WriteWholeFile(const std::filesystem::path& path,
                            std::string_view text) {
  return WriteWholeFile(path, std::span(&text, 1));
}

absl::Status MakeFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? CannotWrite(folder, error.message()) : absl::OkStatus();
}

}  // namespace spar::models
