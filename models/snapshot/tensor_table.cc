#include "models/snapshot/tensor_table.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/strict_json.h"

namespace spar::models {
namespace {

constexpr size_t kMaxIndexBytes = size_t{64} << 20;
constexpr size_t kMaxFiles = 10'000;

// Tensor name to file name.
using WeightMap = std::map<std::string, std::string>;

// Whether there is an entry of this name, be it a dangling link.
bool Exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() !=
         std::filesystem::file_type::not_found;
}

// A name that stays in the folder on every system. Links are judged by what
// they finally are: the Hub's cache is made of links to ../../blobs/.
bool IsPlainFileName(std::string_view name) {
  const auto is_forbidden = [](char c) {
    return c == '/' || c == '\\' || c == ':' ||
           static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  };
  return name.size() <= 255 && !name.starts_with('.') &&
         name.ends_with(".safetensors") &&
         std::ranges::none_of(name, is_forbidden);
}

absl::StatusOr<WeightMap> ReadIndex(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxIndexBytes));
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(text);
  if (!json.ok()) return BadModel(path, base::MessageOf(json.status()));
  const auto map = json->find("weight_map");
  if (map == json->end() || !map->is_object() || map->empty()) {
    return BadModel(path, "weight_map is missing, empty or not an object");
  }
  WeightMap weight_map;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>())) {
      const std::string shown =
          file.is_string() ? Quoted(file.get<std::string>()) : "no string";
      return BadModel(
          path,
          base::Cat("weight_map field ", Quoted(tensor), " is ", shown,
                    ", want a plain file name NAME.safetensors"),
          {{"tensor", tensor}});
    }
    weight_map[tensor] = file.get<std::string>();
  }
  return weight_map;
}

}  // namespace

absl::Status TensorTable::AddFile(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(SafetensorsFile opened, SafetensorsFile::Open(path));
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(opened)));
  const SafetensorsFile* const file = files_.back().get();
  for (const auto& [name, tensor] : file->tensors()) {
    Entry entry;
    entry.tensor = &tensor;
    entry.file = file;
    const auto [slot, added] = entries_.emplace(name, entry);
    if (!added) {
      return BadModel(path,
                      base::Cat("tensor ", Quoted(name), " is also in ",
                                slot->second.file->path().filename().string()),
                      {{"tensor", name}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorTable> TensorTable::Open(
    const std::filesystem::path& folder, const std::string& stem) {
  const std::string single_file = stem + ".safetensors";
  const std::string index_file = single_file + ".index.json";
  TensorTable table;
  table.path_ = folder / single_file;
  if (Exists(table.path_)) {
    RETURN_IF_ERROR(table.AddFile(table.path_));
    return table;
  }
  table.path_ = folder / index_file;
  if (!Exists(table.path_)) {
    return MissingModelFile(
        folder, base::Cat("has neither ", single_file, " nor ", index_file));
  }
  ASSIGN_OR_RETURN(const WeightMap index, ReadIndex(table.path_));
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  if (names.size() > kMaxFiles) {
    return BadModel(
        table.path_,
        base::Cat("names ", names.size(), " files, at most ", kMaxFiles),
        {{"files", std::to_string(names.size())},
         {"limit", std::to_string(kMaxFiles)}});
  }
  for (const std::string& name : names) {
    RETURN_IF_ERROR(table.AddFile(folder / name));
  }
  for (const auto& [tensor, file] : index) {
    const Entry* const entry = table.Find(tensor);
    if (entry == nullptr || entry->file->path().filename() != file) {
      return BadModel(
          table.path_,
          base::Cat("tensor ", Quoted(tensor), " is not in ", Quoted(file)),
          {{"tensor", tensor}, {"index_file", file}});
    }
  }
  for (const auto& [name, entry] : table.entries_) {
    if (!index.contains(name)) {
      return BadModel(entry.file->path(),
                      base::Cat("tensor ", Quoted(name), " is not in the ",
                                "index ", index_file),
                      {{"tensor", name}});
    }
  }
  return table;
}

bool TensorTable::Contains(std::string_view name) const {
  return entries_.contains(name);
}

const TensorTable::Entry* TensorTable::Find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace spar::models
