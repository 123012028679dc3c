// L1. All tensors of a model folder, from one file or from several with an
// index.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/snapshot/safetensors_reader.h"

namespace spar::models {

// Immutable after Open; owns the mappings.
class TensorTable {
 public:
  struct Entry {
    const StoredTensor* tensor = nullptr;
    const SafetensorsFile* file = nullptr;
  };

  // Reads `stem`.safetensors, or else what `stem`.safetensors.index.json names.
  // Every tensor of every file must be where the index says, and no other.
  // kNotFound when the folder has neither; BAD_MODEL otherwise.
  static absl::StatusOr<TensorTable> Open(const std::filesystem::path& folder,
                                          const std::string& stem = "model");

  bool Contains(std::string_view name) const;
  // Null when there is none.
  const Entry* Find(std::string_view name) const;
  const std::map<std::string, Entry, std::less<>>& entries() const {
    return entries_;
  }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const {
    return files_;
  }
  // What an error about the folder's tensors as a whole names.
  const std::filesystem::path& path() const { return path_; }

 private:
  absl::Status AddFile(const std::filesystem::path& path);

  std::filesystem::path path_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace spar::models
