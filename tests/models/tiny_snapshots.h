// Test support: model folders written by hand, smallest of every family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

#include "models/snapshot/snapshot.h"

namespace spar::models {

// An empty folder of its own, deleted with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void WriteText(const std::filesystem::path& path, std::string_view text);
std::string ReadText(const std::filesystem::path& path);

// A .safetensors file of this header and data, right or wrong.
std::string TensorFile(std::string_view header, std::string_view data);
// The same with the tensors laid out one after the other. `shapes` and the
// values of each tensor; float32.
struct TinyTensor {
  std::vector<int64_t> shape = {};
  std::vector<float> values = {};
};
using TinyTensors = std::map<std::string, TinyTensor>;
std::string TensorFile(const TinyTensors& tensors);

// A tensor of small reproducible numbers that depend on its name.
TinyTensor RandomTensor(std::string_view name, std::vector<int64_t> shape);
int64_t ElementCount(const std::vector<int64_t>& shape);

// A model as its folder holds it. Change it, then write it.
struct TinyModel {
  nlohmann::json config = {};
  TinyTensors tensors = {};

  void Add(const std::string& name, std::vector<int64_t> shape);
  // `name`.weight of [out, in] and `name`.bias of [out].
  void AddLinear(const std::string& name, int64_t out, int64_t in, bool bias);
  // config.json and model.safetensors.
  void Write(const std::filesystem::path& folder) const;
};

// Two layers, width 12, 2 heads (or 2 over 1), vocabulary 7, context 16, MLP 20
// (48 where it is always four widths). Configs in the spelling of old folders.
TinyModel TinyGpt2(const std::string& prefix);
TinyModel TinyGptNeox(const std::string& prefix);
TinyModel TinyLlama(const std::string& prefix);
TinyModel TinyMistral(const std::string& prefix);
TinyModel TinyQwen2(const std::string& prefix);
TinyModel TinyLlamaSimple();
TinyModel TinyLlamaSimpleMlp();
TinyModel TinyGpt2Simple();

// Opened from a fresh folder without a cache.
absl::StatusOr<std::unique_ptr<Snapshot>> OpenTiny(const TinyModel& model);
// What OpenTiny says against it; "opened" when nothing.
std::string Refusal(const TinyModel& model);

}  // namespace spar::models
