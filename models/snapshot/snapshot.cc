#include "models/snapshot/snapshot.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_join.h"

#include "base/status.h"
#include "models/digest.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/config_reader.h"
#include "models/snapshot/family.h"
#include "models/snapshot/spec_json.h"
#include "models/snapshot/strict_json.h"
#include "models/snapshot/tensor_table.h"
#include "models/snapshot/weights_check.h"

namespace spar::models {
namespace {

constexpr char kConfigFile[] = "config.json";
constexpr size_t kMaxConfigBytes = size_t{1} << 20;

class FolderSnapshot final : public Snapshot {
 public:
  explicit FolderSnapshot(std::filesystem::path folder)
      : folder_(std::move(folder)) {}

  absl::Status Load(const SnapshotOptions& options);

  const std::filesystem::path& folder() const override { return folder_; }
  const DecoderSpec& spec() const override { return spec_; }
  const TensorView& Tensor(std::string_view name) const override {
    const auto found = weights_.find(name);
    INVARIANT(found != weights_.end());
    return found->second;
  }
  const std::string& config_json() const override { return config_json_; }
  const std::string& weights_digest() const override { return weights_digest_; }
  const std::string& digest() const override { return digest_; }

 private:
  const std::filesystem::path folder_;
  TensorTable tensors_;
  DecoderSpec spec_ = {};
  TensorViews weights_ = {};
  std::string config_json_ = {};
  std::string weights_digest_ = {};
  std::string digest_ = {};
};

absl::StatusOr<nlohmann::json> ReadConfig(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadWholeFile(path, kMaxConfigBytes));
  absl::StatusOr<nlohmann::json> json = ParseJsonObject(text);
  if (!json.ok()) return BadModel(path, base::MessageOf(json.status()));
  return json;
}

absl::StatusOr<const Family*> ReadFamily(const std::filesystem::path& path,
                                         const nlohmann::json& config) {
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) {
    return BadModel(path, "field 'model_type' is missing or not a string",
                    {{"field", "model_type"}});
  }
  const Family* const family = FindFamily(type->get<std::string>());
  if (family == nullptr) {
    return BadModel(
        path,
        base::Cat("field 'model_type' is ", Quoted(type->get<std::string>()),
                  ", known are ", absl::StrJoin(FamilyNames(), ", ")),
        {{"field", "model_type"}, {"value", type->get<std::string>()}});
  }
  return family;
}

absl::Status FolderSnapshot::Load(const SnapshotOptions& options) {
  const std::filesystem::path config_path = folder_ / kConfigFile;
  ASSIGN_OR_RETURN(nlohmann::json json, ReadConfig(config_path));
  ASSIGN_OR_RETURN(const Family* const family, ReadFamily(config_path, json));
  ASSIGN_OR_RETURN(tensors_, TensorTable::Open(folder_));
  const std::string prefix = DetectPrefix(*family, tensors_);
  ConfigReader config(config_path, std::move(json));
  spec_ = family->read(config, prefix);
  spec_.family = std::string(family->model_type);
  RETURN_IF_ERROR(config.Finish());
  ASSIGN_OR_RETURN(weights_, SelectWeights(spec_, *family, prefix, tensors_));
  ASSIGN_OR_RETURN(weights_digest_,
                   WeightsDigest(weights_, tensors_, options.cache_dir));
  config_json_ = SpecJson(spec_);
  digest_ = Sha256Hex(base::Cat("{\"config\":", config_json_, ",\"weights\":\"",
                                weights_digest_, "\"}"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshot>> Snapshot::Open(
    const std::filesystem::path& folder, const SnapshotOptions& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return MissingModelFile(folder, "no such folder");
  }
  auto snapshot = std::make_unique<FolderSnapshot>(folder);
  RETURN_IF_ERROR(snapshot->Load(options));
  return std::unique_ptr<Snapshot>(std::move(snapshot));
}

}  // namespace spar::models
