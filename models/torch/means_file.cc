#include "models/torch/means_file.h"

#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "base/log.h"
#include "base/status.h"
#include "models/digest.h"
#include "models/snapshot/whole_file.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

// The file: the digest of all that follows, 64 hex digits; then last_row as
// eight bytes; then every layer's heads and neurons as float32.
constexpr size_t kDigestSize = 64;

void Append(const at::Tensor& tensor, std::string& bytes) {
  const at::Tensor floats = tensor.to(at::kCPU, at::kFloat).contiguous();
  bytes.append(static_cast<const char*>(floats.const_data_ptr()),
               floats.nbytes());
}

at::Tensor Take(int64_t rows, int64_t width, const char*& next) {
  at::Tensor tensor = at::empty({rows, width}, at::dtype(at::kFloat));
  std::memcpy(tensor.mutable_data_ptr(), next, tensor.nbytes());
  next += tensor.nbytes();
  return tensor;
}

}  // namespace

MeansFile::MeansFile(const std::filesystem::path& folder,
                     const std::string& key)
    : path_(folder.empty() ? folder
                           : folder / base::Cat("means-", key, ".bin")) {}

bool MeansFile::Read(const DecoderSpec& spec, ReferenceValues& means) const {
  if (path_.empty()) return false;
  std::ifstream file(path_, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string bytes = std::move(text).str();
  if (!file || bytes.size() < kDigestSize + sizeof(int64_t)) return false;
  const std::string_view body = std::string_view(bytes).substr(kDigestSize);
  if (Sha256Hex(body) != bytes.substr(0, kDigestSize)) return false;
  int64_t last_row = 0;
  std::memcpy(&last_row, body.data(), sizeof(last_row));
  const int64_t heads_width = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t floats =
      (last_row + 1) * spec.num_layers * (heads_width + spec.mlp_width);
  if (last_row < 1 || last_row > spec.context_length ||
      body.size() != sizeof(last_row) + floats * sizeof(float)) {
    return false;
  }
  means = {.last_row = static_cast<int>(last_row)};
  const char* next = body.data() + sizeof(last_row);
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    means.heads.push_back(Take(last_row + 1, heads_width, next));
    means.neurons.push_back(Take(last_row + 1, spec.mlp_width, next));
  }
  return true;
}

void MeansFile::Write(const ReferenceValues& means) const {
  if (path_.empty()) return;
  std::string body;
  const int64_t last_row = means.last_row;
  body.append(reinterpret_cast<const char*>(&last_row), sizeof(last_row));
  for (size_t layer = 0; layer < means.heads.size(); ++layer) {
    Append(means.heads[layer], body);
    Append(means.neurons[layer], body);
  }
  absl::Status status = MakeFolder(path_.parent_path());
  if (status.ok()) {
    const std::string digest = Sha256Hex(body);
    const std::string_view pieces[] = {digest, body};
    status = WriteWholeFile(path_, pieces);
  }
  if (!status.ok()) {
    base::LogWarning(base::Cat("cannot keep the mean activations: ",
                               base::MessageOf(status)));
  }
}

}  // namespace spar::models
