#include "models/snapshot/weights_check.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_join.h"

#include "base/status.h"
#include "models/digest.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/digest_cache.h"
#include "models/snapshot/finite.h"
#include "models/snapshot/spec_tensors.h"

namespace spar::models {
namespace {

constexpr std::pair<std::string_view, Dtype> kServedDtypes[] = {
    {"F32", Dtype::kFloat32},
    {"F16", Dtype::kFloat16},
    {"BF16", Dtype::kBfloat16},
};

std::optional<Dtype> DtypeOf(std::string_view name) {
  for (const auto& [known, dtype] : kServedDtypes) {
    if (known == name) return dtype;
  }
  return std::nullopt;
}

std::string_view NameOf(Dtype dtype) {
  for (const auto& [name, known] : kServedDtypes) {
    if (known == dtype) return name;
  }
  return "";
}

absl::Status BadTensor(const std::filesystem::path& file,
                       const std::string& tensor,
                       std::string_view problem,
                       std::map<std::string, std::string> metadata = {}) {
  metadata["tensor"] = tensor;
  return BadModel(file, base::Cat("tensor ", Quoted(tensor), " ", problem),
                  std::move(metadata));
}

absl::StatusOr<TensorView> CheckedView(const std::string& name,
                                       const std::vector<int64_t>& shape,
                                       std::string_view described_by,
                                       const TensorTable& tensors) {
  const TensorTable::Entry* const entry = tensors.Find(name);
  if (entry == nullptr) {
    return BadTensor(tensors.path(), name,
                     base::Cat("is missing, want shape ", ShapeText(shape)),
                     {{"want_shape", ShapeText(shape)}});
  }
  const StoredTensor& stored = *entry->tensor;
  const std::optional<Dtype> dtype = DtypeOf(stored.dtype);
  if (!dtype.has_value()) {
    return BadTensor(
        entry->file->path(), name,
        base::Cat("has dtype ", stored.dtype, ", want F32, F16 or BF16"),
        {{"dtype", stored.dtype}});
  }
  if (stored.shape != shape) {
    return BadTensor(entry->file->path(), name,
                     base::Cat("has shape ", ShapeText(stored.shape), ", ",
                               described_by, " wants ", ShapeText(shape)),
                     {{"got_shape", ShapeText(stored.shape)},
                      {"want_shape", ShapeText(shape)}});
  }
  TensorView view;
  view.dtype = *dtype;
  view.shape = stored.shape;
  view.bytes = stored.bytes;
  return view;
}

// A tensor that the spec does not name.
absl::Status CheckExtra(const std::string& name,
                        const TensorTable::Entry& entry,
                        const DecoderSpec& spec,
                        const Family& family,
                        const std::string& prefix,
                        const TensorTable& tensors) {
  if (IsIgnoredBuffer(family, prefix, spec.num_layers, name)) {
    return absl::OkStatus();
  }
  if (!spec.tied_embeddings || name != family.head) {
    return BadTensor(entry.file->path(), name,
                     base::Cat("is not part of a ", family.model_type,
                               " model with this config"));
  }
  const std::string& embedding = spec.token_embedding.tensor;
  const StoredTensor& tied = *tensors.Find(embedding)->tensor;
  if (entry.tensor->dtype != tied.dtype || entry.tensor->shape != tied.shape ||
      !std::ranges::equal(entry.tensor->bytes, tied.bytes)) {
    return BadTensor(entry.file->path(), name,
                     base::Cat("differs from ", Quoted(embedding),
                               ", but the config ties them"),
                     {{"other_tensor", embedding}});
  }
  return absl::OkStatus();
}

// Feeds one tensor to the digest in pieces that stay in cache between the two
// looks at them.
absl::Status DigestTensor(const std::string& name,
                          const TensorView& view,
                          const TensorTable& tensors,
                          Sha256* sha) {
  constexpr size_t kPiece = size_t{256} << 10;
  sha->Update(name);
  sha->Update(std::string_view("\0", 1));
  sha->Update(NameOf(view.dtype));
  sha->Update(std::string_view("\0", 1));
  sha->Update(absl::StrJoin(view.shape, ","));
  sha->Update(std::string_view("\0", 1));
  for (size_t begin = 0; begin < view.bytes.size(); begin += kPiece) {
    const std::span<const std::byte> piece =
        view.bytes.subspan(begin, std::min(kPiece, view.bytes.size() - begin));
    const std::optional<size_t> bad = FirstNonFinite(view.dtype, piece);
    if (bad.has_value()) {
      const size_t index = begin / DtypeBytes(view.dtype) + *bad;
      return BadTensor(tensors.Find(name)->file->path(), name,
                       base::Cat("holds NaN or infinity at flat index ", index),
                       {{"index", std::to_string(index)}});
    }
    sha->Update(piece);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorViews> SelectTensors(
    const std::map<std::string, std::vector<int64_t>>& shapes,
    std::string_view described_by,
    const TensorTable& tensors) {
  TensorViews views;
  for (const auto& [name, shape] : shapes) {
    ASSIGN_OR_RETURN(views[name],
                     CheckedView(name, shape, described_by, tensors));
  }
  return views;
}

absl::StatusOr<TensorViews> SelectWeights(const DecoderSpec& spec,
                                          const Family& family,
                                          const std::string& prefix,
                                          const TensorTable& tensors) {
  ASSIGN_OR_RETURN(TensorViews views,
                   SelectTensors(SpecTensors(spec), "the config", tensors));
  for (const auto& [name, entry] : tensors.entries()) {
    if (views.contains(name)) continue;
    RETURN_IF_ERROR(CheckExtra(name, entry, spec, family, prefix, tensors));
  }
  return views;
}

absl::StatusOr<std::string> WeightsDigest(
    const TensorViews& weights,
    const TensorTable& tensors,
    const std::filesystem::path& cache_dir) {
  std::vector<FileIdentity> files;
  for (const auto& file : tensors.files()) {
    files.push_back(file->file().identity());
  }
  std::vector<std::string> names;
  for (const auto& [name, view] : weights) names.push_back(name);
  const DigestCache cache(cache_dir);
  const std::string key = DigestCache::Key(files, names);
  if (const std::optional<std::string> kept = cache.Find(key)) return *kept;

  Sha256 sha;
  for (const auto& [name, view] : weights) {
    RETURN_IF_ERROR(DigestTensor(name, view, tensors, &sha));
  }
  for (const auto& file : tensors.files()) {
    RETURN_IF_ERROR(file->file().CheckUnchanged());
  }
  const std::string digest = sha.HexDigest();
  cache.Keep(key, digest);
  return digest;
}

}  // namespace spar::models
