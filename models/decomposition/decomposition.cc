#include "models/decomposition/decomposition.h"

#include <system_error>
#include <utility>

#include "base/status.h"
#include "models/decomposition/decomposition_json.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/digest.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/tensor_table.h"
#include "models/snapshot/weights_check.h"

namespace spar::models {
namespace {

constexpr char kJsonFile[] = "decomposition.json";
constexpr char kTensorStem[] = "decomposition";

class FolderDecomposition final : public Decomposition {
 public:
  explicit FolderDecomposition(std::filesystem::path folder)
      : folder_(std::move(folder)) {}

  absl::Status Load(const Snapshot& target, const SnapshotOptions& options);

  const std::filesystem::path& folder() const override { return folder_; }
  const DecompositionSpec& spec() const override { return spec_; }
  const TensorView& Tensor(std::string_view name) const override {
    const auto found = views_.find(name);
    INVARIANT(found != views_.end());
    return found->second;
  }
  const std::string& weights_digest() const override { return weights_digest_; }
  const std::string& digest() const override { return digest_; }

 private:
  const std::filesystem::path folder_;
  TensorTable tensors_;
  DecompositionSpec spec_ = {};
  TensorViews views_ = {};
  std::string weights_digest_ = {};
  std::string digest_ = {};
};

absl::Status FolderDecomposition::Load(const Snapshot& target,
                                       const SnapshotOptions& options) {
  const std::filesystem::path json = folder_ / kJsonFile;
  ASSIGN_OR_RETURN(spec_, ReadDecompositionJson(json, target.spec()));
  if (spec_.target_weights_digest != target.weights_digest()) {
    return BadModel(
        json,
        base::Cat("is a decomposition of weights ", spec_.target_weights_digest,
                  ", and the model's are ", target.weights_digest()),
        {{"field", "target.weights_digest"},
         {"target_weights_digest", spec_.target_weights_digest},
         {"model_weights_digest", target.weights_digest()}});
  }
  ASSIGN_OR_RETURN(tensors_, TensorTable::Open(folder_, kTensorStem));
  ASSIGN_OR_RETURN(
      views_, SelectTensors(DecompositionTensors(spec_), kJsonFile, tensors_));
  for (const auto& [name, entry] : tensors_.entries()) {
    if (views_.contains(name)) continue;
    return BadModel(
        entry.file->path(),
        base::Cat("tensor ", Quoted(name), " is not part of a decomposition ",
                  "with this ", kJsonFile),
        {{"tensor", name}});
  }
  ASSIGN_OR_RETURN(weights_digest_,
                   WeightsDigest(views_, tensors_, options.cache_dir));
  digest_ =
      Sha256Hex(base::Cat("{\"config\":", CanonicalDecompositionJson(spec_),
                          ",\"weights\":\"", weights_digest_, "\"}"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decomposition>> Decomposition::Open(
    const std::filesystem::path& folder,
    const Snapshot& target,
    const SnapshotOptions& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return MissingModelFile(folder, "no such folder");
  }
  auto decomposition = std::make_unique<FolderDecomposition>(folder);
  RETURN_IF_ERROR(decomposition->Load(target, options));
  return std::unique_ptr<Decomposition>(std::move(decomposition));
}

}  // namespace spar::models
