#include "models/decomposition/decomposition_writer.h"

#include <cstdint>
#include <fstream>
#include <map>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "base/status.h"
#include "models/decomposition/decomposition_json.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

absl::Status CheckTensors(const std::filesystem::path& folder,
                          const DecompositionSpec& spec,
                          const std::vector<NamedTensor>& tensors) {
  std::map<std::string, std::vector<int64_t>> missing =
      DecompositionTensors(spec);
  for (const NamedTensor& tensor : tensors) {
    const auto wanted = missing.find(tensor.name);
    if (wanted == missing.end()) {
      return BadModel(folder,
                      base::Cat("tensor ", Quoted(tensor.name),
                                " is not part of this decomposition"),
                      {{"tensor", tensor.name}});
    }
    if (wanted->second != tensor.shape) {
      return BadModel(folder,
                      base::Cat("tensor ", Quoted(tensor.name), " has shape ",
                                ShapeText(tensor.shape), ", want ",
                                ShapeText(wanted->second)),
                      {{"tensor", tensor.name}});
    }
    missing.erase(wanted);
  }
  if (missing.empty()) return absl::OkStatus();
  const std::string& name = missing.begin()->first;
  return BadModel(folder, base::Cat("tensor ", Quoted(name), " is missing"),
                  {{"tensor", name}});
}

absl::Status CannotWrite(const std::filesystem::path& path,
                         std::string_view why) {
  base::ErrorDetail detail{.reason = "CANNOT_WRITE",
                           .metadata = {{"file", path.string()}}};
  return base::Error(absl::StatusCode::kUnavailable,
                     base::Cat(path.string(), ": ", why), detail);
}

absl::Status WriteByRename(const std::filesystem::path& path,
                           const std::string& text) {
  const std::filesystem::path partial =
      base::Cat(path.string(), ".", getpid(), ".partial");
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file << text;
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

}  // namespace

absl::Status WriteDecomposition(const std::filesystem::path& folder,
                                const DecompositionSpec& spec,
                                std::vector<NamedTensor> tensors) {
  RETURN_IF_ERROR(CheckTensors(folder, spec, tensors));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return CannotWrite(folder, error.message());
  RETURN_IF_ERROR(WriteSafetensors(folder / "decomposition.safetensors",
                                   std::move(tensors)));
  return WriteByRename(folder / "decomposition.json",
                       DecompositionJsonText(spec));
}

}  // namespace spar::models
