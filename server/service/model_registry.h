// L5. The models that the services answer about.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/text/tokenizer.h"
#include "server/search/explainer.h"

namespace spar::service {

struct ServedModel {
  std::string id = {};  // "demo"; its resource name is "models/demo"
  std::unique_ptr<search::Explainer> explainer = nullptr;
  std::unique_ptr<models::Tokenizer> tokenizer = nullptr;
  std::chrono::system_clock::time_point load_time = {};

  std::string ResourceName() const;
  // "models/demo/decompositions/{decomposition}".
  std::string DecompositionName(std::string_view decomposition) const;
};

// A decomposition resident beside its model.
struct ServedDecomposition {
  const ServedModel* model = nullptr;
  const models::DecompositionInfo* info = nullptr;

  std::string ResourceName() const;
};

// The decomposition of this name. kNotFound DECOMPOSITION_NOT_FOUND, of the
// request field `field`.
absl::StatusOr<ServedDecomposition> DecompositionOf(const ServedModel& model,
                                                    std::string_view name,
                                                    std::string_view field);

// kInvalidArgument BAD_MODEL_NAME unless `id` is 1 to 64 of a-z 0-9 . _ -,
// beginning with a letter or a digit.
absl::Status CheckModelId(std::string_view id);

// Filled before the server starts, then read by every thread. Outlives the
// server.
class ModelRegistry {
 public:
  // kInvalidArgument BAD_MODEL_NAME; kAlreadyExists.
  absl::Status Add(ServedModel model);

  // `resource_name` is "models/{id}", from request field `field`. Errors:
  // kInvalidArgument BAD_RESOURCE_NAME; kNotFound MODEL_NOT_FOUND.
  absl::StatusOr<const ServedModel*> Find(std::string_view resource_name,
                                          std::string_view field) const;

  // `resource_name` is "models/{id}/decompositions/{id}". Errors as Find's, and
  // kNotFound DECOMPOSITION_NOT_FOUND.
  absl::StatusOr<ServedDecomposition> FindDecomposition(
      std::string_view resource_name, std::string_view field) const;

  // At most `limit` models, by id, whose id comes after `after`.
  std::vector<const ServedModel*> List(const std::string& after,
                                       size_t limit) const;

  size_t size() const { return models_.size(); }

 private:
  std::map<std::string, ServedModel> models_;  // by id
};

}  // namespace spar::service
