#include "models/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/snapshot/strict_json.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kHeadFile[] = "checkpoint.json";
constexpr char kStateFile[] = "state.safetensors";
constexpr char kFolder[] = "checkpoints";
constexpr char kPartSuffix[] = ".part";

absl::Status CannotWrite(const fs::path& path) {
  return base::Error(
      absl::StatusCode::kUnavailable,
      base::Cat("cannot write the checkpoint ", path.string()),
      {.reason = "CANNOT_WRITE", .metadata = {{"file", path.string()}}});
}

// The step in a checkpoint's name.
std::optional<int64_t> StepOf(const fs::path& folder) {
  const std::string name = folder.filename().string();
  int64_t step = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  return step;
}

// By step.
std::vector<std::pair<int64_t, fs::path>> CheckpointsOf(
    const fs::path& output) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator entry(output / kFolder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (const auto step = StepOf(entry->path()); step.has_value()) {
      found.emplace_back(*step, entry->path());
    }
  }
  std::ranges::sort(found);
  return found;
}

absl::StatusOr<CheckpointHead> ReadHead(const fs::path& folder) {
  std::ifstream file(folder / kHeadFile, std::ios::binary);
  if (!file) {
    return base::Error(absl::StatusCode::kNotFound,
                       base::Cat("there is no checkpoint ", folder.string()),
                       {.reason = "BAD_CHECKPOINT"});
  }
  const std::string text((std::istreambuf_iterator<char>(file)),
                         std::istreambuf_iterator<char>());
  const absl::StatusOr<Json> json = ParseJsonObject(text);
  if (!json.ok()) {
    return BadCheckpoint(
        folder,
        base::Cat(kHeadFile, " is no JSON: ", base::MessageOf(json.status())));
  }
  CheckpointHead head;
  const auto config = json->find("config_digest");
  const auto target = json->find("target_digest");
  const auto counters = json->find("counters");
  if (config == json->end() || !config->is_string() || target == json->end() ||
      !target->is_string() || counters == json->end() ||
      !counters->is_object()) {
    return BadCheckpoint(folder, base::Cat(kHeadFile, " lacks its fields"));
  }
  head.config_digest = config->get<std::string>();
  head.target_digest = target->get<std::string>();
  for (const auto& [name, value] : counters->items()) {
    if (!value.is_number_integer()) {
      return BadCheckpoint(folder, "a counter is no whole number");
    }
    head.counters[name] = value.get<int64_t>();
  }
  return head;
}

}  // namespace

absl::Status BadCheckpoint(const fs::path& folder, const std::string& message) {
  return base::Error(
      absl::StatusCode::kInvalidArgument,
      base::Cat("checkpoint ", folder.string(), ": ", message),
      {.reason = "BAD_CHECKPOINT", .metadata = {{"folder", folder.string()}}});
}

absl::Status WriteCheckpoint(const fs::path& folder,
                             const CheckpointHead& head,
                             std::vector<NamedTensor> tensors) {
  fs::path part = folder;
  part += kPartSuffix;
  std::error_code error;
  fs::remove_all(part, error);
  fs::create_directories(part, error);
  if (error) return CannotWrite(part);
  RETURN_IF_ERROR(WriteSafetensors(part / kStateFile, std::move(tensors)));
  const Json json = {{"config_digest", head.config_digest},
                     {"target_digest", head.target_digest},
                     {"counters", head.counters}};
  std::ofstream file(part / kHeadFile, std::ios::binary);
  file << json.dump(2) << "\n";
  file.close();
  if (!file) return CannotWrite(part / kHeadFile);
  fs::remove_all(folder, error);
  fs::rename(part, folder, error);
  return error ? CannotWrite(folder) : absl::OkStatus();
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const fs::path& folder) {
  ASSIGN_OR_RETURN(CheckpointHead head, ReadHead(folder));
  ASSIGN_OR_RETURN(SafetensorsFile tensors,
                   SafetensorsFile::Open(folder / kStateFile));
  return Checkpoint{.head = std::move(head), .tensors = std::move(tensors)};
}

fs::path CheckpointFolder(const fs::path& output, int64_t step) {
  return output / kFolder / std::to_string(step);
}

fs::path LatestCheckpoint(const fs::path& output) {
  const auto found = CheckpointsOf(output);
  return found.empty() ? fs::path() : found.back().second;
}

void PruneCheckpoints(const fs::path& output, int kept) {
  std::error_code ignored;
  const auto found = CheckpointsOf(output);
  const size_t count = found.size() - std::min<size_t>(found.size(), kept);
  for (size_t i = 0; i < count; ++i) fs::remove_all(found[i].second, ignored);
}

}  // namespace spar::models
