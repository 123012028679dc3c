#include "models/decomposition/decomposition_writer.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/status.h"
#include "models/decomposition/decomposition_json.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/whole_file.h"

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

}  // namespace

absl::Status WriteDecomposition(const std::filesystem::path& folder,
                                const DecompositionSpec& spec,
                                std::vector<NamedTensor> tensors) {
  RETURN_IF_ERROR(CheckTensors(folder, spec, tensors));
  RETURN_IF_ERROR(MakeFolder(folder));
  RETURN_IF_ERROR(WriteSafetensors(folder / "decomposition.safetensors",
                                   std::move(tensors)));
  return WriteWholeFile(folder / "decomposition.json",
                        DecompositionJsonText(spec));
}

}  // namespace spar::models
