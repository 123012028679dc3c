// Test support: one model folder and one cache folder.
#pragma once

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "base/status.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {

class SnapshotFolder : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Snapshot>> Open() const {
    SnapshotOptions options;
    options.cache_dir = cache_.path() / "digests";
    return Snapshot::Open(path(), options);
  }

  std::string Message() const {
    const auto opened = Open();
    return opened.ok() ? "opened"
                       : std::string(base::MessageOf(opened.status()));
  }

  std::string Digest() const {
    const auto opened = Open();
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? (*opened)->weights_digest() : "";
  }

  // The model's tensors in two files, a half each, and an index.
  nlohmann::json WriteSharded(const TinyModel& model) const {
    WriteText(path() / "config.json", model.config.dump());
    TinyTensors parts[2];
    nlohmann::json index = {{"metadata", {{"total_size", 0}}},
                            {"weight_map", nlohmann::json::object()}};
    size_t count = 0;
    for (const auto& [name, tensor] : model.tensors) {
      const size_t part = 2 * count++ / model.tensors.size();
      parts[part][name] = tensor;
      index["weight_map"][name] = base::Cat("part-", part, ".safetensors");
    }
    WriteText(path() / "part-0.safetensors", TensorFile(parts[0]));
    WriteText(path() / "part-1.safetensors", TensorFile(parts[1]));
    WriteIndex(index);
    return index;
  }

  void WriteIndex(const nlohmann::json& index) const {
    WriteText(path() / "model.safetensors.index.json", index.dump());
  }

  std::filesystem::path CacheEntry() const {
    for (const auto& entry :
         std::filesystem::directory_iterator(cache_.path() / "digests")) {
      return entry.path();
    }
    return {};
  }

  const std::filesystem::path& path() const { return folder_.path(); }

  const TempFolder folder_;
  const TempFolder cache_;
};

}  // namespace spar::models
