// L1. A trained parameter decomposition in its folder: decomposition.json and
// safetensors. docs/formats.md specifies it.
//
// The tensors stay memory-mapped for the life of the Decomposition, with the
// rule of models/snapshot/snapshot.h: replace files by rename, never in place.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "models/decomposition_spec.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

// Immutable after Open. Thread-safe.
class Decomposition {
 public:
  // Reads and checks everything: decomposition.json, that `target` has these
  // modules and these weights, tensor tables, shapes and dtypes, every number
  // finite. Keeps nothing of `target`. Errors as Snapshot::Open's, reason
  // BAD_MODEL; a decomposition of other weights names both digests.
  static absl::StatusOr<std::unique_ptr<Decomposition>> Open(
      const std::filesystem::path& folder,
      const Snapshot& target,
      const SnapshotOptions& options);

  virtual ~Decomposition() = default;

  virtual const std::filesystem::path& folder() const = 0;
  virtual const DecompositionSpec& spec() const = 0;
  // A tensor of DecompositionTensors(spec()). Aborts on any other name.
  virtual const TensorView& Tensor(std::string_view name) const = 0;
  // SHA-256 over the tensors, as Snapshot::weights_digest().
  virtual const std::string& weights_digest() const = 0;
  // SHA-256 of {"config":<canonical json>,"weights":"<weights_digest>"}.
  virtual const std::string& digest() const = 0;
};

}  // namespace spar::models
