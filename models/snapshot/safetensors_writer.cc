#include "models/snapshot/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <set>
#include <string_view>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/utf8.h"
#include "models/snapshot/whole_file.h"

namespace spar::models {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian");

absl::Status CheckTensors(const std::filesystem::path& path,
                          std::span<const NamedTensor> tensors) {
  std::set<std::string> names;
  for (const NamedTensor& tensor : tensors) {
    uint64_t count = 1;
    bool fits = true;
    for (const int64_t dim : tensor.shape) {
      fits = fits && dim >= 0 && !__builtin_mul_overflow(count, dim, &count);
    }
    const std::string quoted = Quoted(tensor.name);
    if (!fits || count != tensor.values.size()) {
      return BadModel(path,
                      base::Cat("tensor ", quoted, ": ", tensor.values.size(),
                                " values for shape ", ShapeText(tensor.shape)),
                      {{"tensor", tensor.name},
                       {"values", std::to_string(tensor.values.size())},
                       {"shape", ShapeText(tensor.shape)}});
    }
    if (!IsUtf8(tensor.name)) {
      return BadModel(path, base::Cat("tensor ", quoted, ": name is no UTF-8"),
                      {{"tensor", quoted}});
    }
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return BadModel(path, base::Cat("tensor ", quoted, ": name is taken"),
                      {{"tensor", tensor.name}});
    }
  }
  return absl::OkStatus();
}

// The JSON header, padded with spaces so that the data is aligned.
std::string HeaderText(std::span<const NamedTensor> tensors) {
  nlohmann::json header = nlohmann::json::object();
  uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const uint64_t end = offset + tensor.values.size_bytes();
    header[tensor.name] = {{"dtype", "F32"},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

absl::Status WriteSafetensors(const std::filesystem::path& path,
                              std::vector<NamedTensor> tensors) {
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  RETURN_IF_ERROR(CheckTensors(path, tensors));
  const std::string header = HeaderText(tensors);
  const uint64_t header_bytes = header.size();
  std::vector<std::string_view> pieces = {
      {reinterpret_cast<const char*>(&header_bytes), sizeof(header_bytes)},
      header};
  for (const NamedTensor& tensor : tensors) {
    pieces.emplace_back(reinterpret_cast<const char*>(tensor.values.data()),
                        tensor.values.size_bytes());
  }
  return WriteWholeFile(path, pieces);
}

}  // namespace spar::models
