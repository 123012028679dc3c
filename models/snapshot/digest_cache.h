// L1. Weights digests of files read before, so that a large model opens without
// being read whole. Only digests of checked (finite) weights are kept.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/snapshot/model_file.h"

namespace spar::models {

// Entries are small files of one folder, written by rename, so processes may
// share it. An entry that is damaged or about another version of the files
// counts as absent. Keyed by the files' path, size, inode, and modification and
// change times, and by the names of the tensors digested.
class DigestCache {
 public:
  // An empty folder: nothing is found and nothing kept.
  explicit DigestCache(std::filesystem::path folder);

  static std::string Key(const std::vector<FileIdentity>& files,
                         const std::vector<std::string>& tensors);

  std::optional<std::string> Find(const std::string& key) const;
  // Failing to write is no error: the digest is computed again next time. It is
  // logged.
  void Keep(const std::string& key, const std::string& digest) const;

 private:
  std::filesystem::path EntryPath(const std::string& key) const;

  const std::filesystem::path folder_;
};

}  // namespace spar::models
