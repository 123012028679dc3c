// L1. Files of a model folder: regular files only, read whole or mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace spar::models {

// What tells one version of a file from another without reading it.
struct FileIdentity {
  std::string path = {};  // absolute, links resolved
  uint64_t size_bytes = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// A regular file mapped for reading. Move-only; unmaps when destroyed. The size
// is the one at Open: a file that another process cuts short afterwards raises
// SIGBUS at the lost pages, as with every mapping, so replace model files by
// rename and never in place.
class MappedFile {
 public:
  // kNotFound when nothing is there; BAD_MODEL when it is no regular file or
  // cannot be read.
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);

  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  // Page-aligned.
  std::span<const std::byte> bytes() const { return bytes_; }
  const FileIdentity& identity() const { return identity_; }

  // BAD_MODEL when the file at the path is no longer the one that was opened.
  absl::Status CheckUnchanged() const;

 private:
  std::filesystem::path path_ = {};
  std::span<const std::byte> bytes_ = {};
  FileIdentity identity_ = {};
};

// The whole of a regular file of at most `limit_bytes`. Errors as above.
absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path,
                                          size_t limit_bytes);

}  // namespace spar::models
