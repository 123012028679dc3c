#include "client/output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/status.h"

namespace spar::client {
namespace {

absl::Status CannotWrite(const std::string& path) {
  return absl::DataLossError(base::AbslView(
      base::Cat("cannot write ", path, ": ", std::strerror(errno))));
}

}  // namespace

absl::Status CheckWritable(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "ab");
  if (file == nullptr || std::fclose(file) != 0) return CannotWrite(path);
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return CannotWrite(path);
  const bool whole =
      std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !whole) return CannotWrite(path);
  return absl::OkStatus();
}

}  // namespace spar::client
