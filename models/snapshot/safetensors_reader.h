// L1. One .safetensors file: 8 bytes of header length, a JSON header, tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/snapshot/model_file.h"

namespace spar::models {

// The longest header that is read.
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{32} << 20;

// A tensor as its file states it, whatever its dtype.
struct StoredTensor {
  std::string dtype = {};  // "F32"
  std::vector<int64_t> shape = {};
  std::span<const std::byte> bytes = {};  // aligned for the dtype
};

// Immutable after Open; the tensors live as long as it does. Move-only.
class SafetensorsFile {
 public:
  // Checks the whole header: every tensor's bytes fit its dtype and shape, and
  // the tensors cover the file's data without gap or overlap. BAD_MODEL with
  // the tensor and the numbers.
  static absl::StatusOr<SafetensorsFile> Open(
      const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, StoredTensor>& tensors() const {
    return tensors_;
  }
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  // The data of a file whose header does not end on an 8-byte boundary, as old
  // writers left it, moved to one that does. Else null.
  std::unique_ptr<std::byte[]> aligned_data_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace spar::models
