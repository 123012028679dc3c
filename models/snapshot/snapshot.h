// L1. An unchanged Hugging Face snapshot folder: config.json and *.safetensors.
//
// The folder's tensors stay memory-mapped for the life of the Snapshot: replace
// a model's files by rename, never in place. A mapped file that is cut short
// ends the process with SIGBUS when the lost part is read. See
// docs/adding-a-family.md for how a family is added.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/decoder_spec.h"
#include "models/unit_table.h"

namespace spar::models {

enum class Dtype { kFloat32, kFloat16, kBfloat16 };

// A tensor in the mapped file. Row-major, little-endian, aligned for its dtype.
// Lives as long as its Snapshot.
struct TensorView {
  Dtype dtype = Dtype::kFloat32;
  std::vector<int64_t> shape = {};
  std::span<const std::byte> bytes = {};
};

struct SnapshotOptions {
  // Where digests of files already read are kept, keyed by path, size, inode,
  // and modification and change times. Empty: digests are computed anew.
  std::filesystem::path cache_dir = {};
};

// Immutable after Open. Thread-safe.
class Snapshot {
 public:
  // Reads and checks everything: config, tensor tables, shapes and dtypes
  // against the spec, every weight finite. kInvalidArgument with reason
  // BAD_MODEL and the file, the tensor or field, and the numbers in the
  // message; kNotFound when the folder or a file is missing.
  static absl::StatusOr<std::unique_ptr<Snapshot>> Open(
      const std::filesystem::path& folder, const SnapshotOptions& options);

  virtual ~Snapshot() = default;

  virtual const std::filesystem::path& folder() const = 0;
  virtual const DecoderSpec& spec() const = 0;
  // A tensor that the spec names. Aborts on any other name.
  virtual const TensorView& Tensor(std::string_view name) const = 0;

  // Canonical JSON of the config fields that change the arithmetic.
  virtual const std::string& config_json() const = 0;
  // SHA-256 over the tensors that the spec names, sorted by name: for each
  // "name\0dtype\0d0,d1,...\0" and its bytes (dtype as in the file: F32, ...).
  virtual const std::string& weights_digest() const = 0;
  // SHA-256 of {"config":<config_json>,"weights":"<weights_digest>"}.
  virtual const std::string& digest() const = 0;
};

// The units of a decoder, named as its checkpoint names its modules. A head
// holds its q rows (with their biases), its o columns, and its share of the k
// and v rows of its group; a neuron its up and gate rows and its down column.
// The output biases of o and down belong to no unit.
UnitTable MakeUnitTable(const DecoderSpec& spec);

}  // namespace spar::models
