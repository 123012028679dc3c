#include "server/service/model_registry.h"

#include <span>
#include <utility>

#include "base/status.h"

namespace spar::service {
namespace {

constexpr std::string_view kCollection = "models/";
constexpr std::string_view kDecompositions = "/decompositions/";
constexpr size_t kMaxIdBytes = 64;

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool IsModelId(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes || !IsLetterOrDigit(id[0])) {
    return false;
  }
  for (const char c : id) {
    if (!IsLetterOrDigit(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

}  // namespace

std::string ServedModel::ResourceName() const {
  return base::Cat(kCollection, id);
}

std::string ServedModel::DecompositionName(
    std::string_view decomposition) const {
  return base::Cat(kCollection, id, kDecompositions, decomposition);
}

std::string ServedDecomposition::ResourceName() const {
  return model->DecompositionName(info->name);
}

absl::Status CheckModelId(std::string_view id) {
  if (IsModelId(id)) return absl::OkStatus();
  return base::InvalidArgument(
      "BAD_MODEL_NAME", "",
      base::Cat("model name '", id, "': want 1 to ", kMaxIdBytes,
                " of a-z 0-9 . _ -, beginning with a letter or a digit"),
      {{"model", std::string(id)}});
}

absl::Status ModelRegistry::Add(ServedModel model) {
  RETURN_IF_ERROR(CheckModelId(model.id));
  const std::string id = model.id;
  if (models_.count(id) > 0) {
    const base::ErrorDetail detail{.reason = "DUPLICATE_MODEL",
                                   .metadata = {{"model", id}}};
    return base::Error(absl::StatusCode::kAlreadyExists,
                       base::Cat("two models are named '", id, "'"), detail);
  }
  models_.emplace(id, std::move(model));
  return absl::OkStatus();
}

absl::StatusOr<ServedDecomposition> DecompositionOf(const ServedModel& model,
                                                    std::string_view name,
                                                    std::string_view field) {
  const std::span<const models::DecompositionInfo> all =
      model.explainer->decompositions();
  for (const models::DecompositionInfo& info : all) {
    if (info.name == name) return ServedDecomposition{&model, &info};
  }
  return base::Error(
      absl::StatusCode::kNotFound,
      base::Cat(model.ResourceName(), " has no decomposition '", name, "'"),
      {.reason = "DECOMPOSITION_NOT_FOUND",
       .field = std::string(field),
       .metadata = {{"decomposition", model.DecompositionName(name)}}});
}

absl::StatusOr<const ServedModel*> ModelRegistry::Find(
    std::string_view resource_name, std::string_view field) const {
  const bool prefixed =
      resource_name.substr(0, kCollection.size()) == kCollection;
  const std::string_view id =
      prefixed ? resource_name.substr(kCollection.size()) : "";
  if (!IsModelId(id)) {
    return base::InvalidArgument(
        "BAD_RESOURCE_NAME", field,
        base::Cat(field, " is '", resource_name, "': want models/{model}"),
        {{"value", std::string(resource_name)}});
  }
  const auto found = models_.find(std::string(id));
  if (found == models_.end()) {
    const base::ErrorDetail detail{
        .reason = "MODEL_NOT_FOUND",
        .field = std::string(field),
        .metadata = {{"model", std::string(resource_name)}}};
    return base::Error(absl::StatusCode::kNotFound,
                       base::Cat("no model is named ", resource_name), detail);
  }
  return &found->second;
}

absl::StatusOr<ServedDecomposition> ModelRegistry::FindDecomposition(
    std::string_view resource_name, std::string_view field) const {
  const size_t slash = resource_name.find(kDecompositions);
  const bool split = slash != resource_name.npos;
  const std::string_view id =
      split ? resource_name.substr(slash + kDecompositions.size()) : "";
  const absl::StatusOr<const ServedModel*> model =
      Find(resource_name.substr(0, split ? slash : 0), field);
  if (!IsModelId(id) || absl::IsInvalidArgument(model.status())) {
    return base::InvalidArgument(
        "BAD_RESOURCE_NAME", field,
        base::Cat(field, " is '", resource_name,
                  "': want models/{model}/decompositions/{decomposition}"),
        {{"value", std::string(resource_name)}});
  }
  RETURN_IF_ERROR(model.status());
  return DecompositionOf(**model, id, field);
}

std::vector<const ServedModel*> ModelRegistry::List(const std::string& after,
                                                    size_t limit) const {
  std::vector<const ServedModel*> page;
  for (auto it = models_.upper_bound(after);
       it != models_.end() && page.size() < limit; ++it) {
    page.push_back(&it->second);
  }
  return page;
}

}  // namespace spar::service
