// L6. A snapshot folder to a model that can be served.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/text/tokenizer.h"
#include "server/config.h"
#include "server/service/model_registry.h"

namespace spar {

// A model on its device, with its tokenizer.
struct LoadedModel {
  std::vector<std::unique_ptr<models::Backend>> backends = {};  // one or more
  std::unique_ptr<models::Tokenizer> tokenizer = nullptr;
};

// CPU threads of one batch: half of the processors unless the settings say.
int BatchThreads(const BackendSettings& settings);

// Blocks for seconds. Errors name the file, the field, and the numbers.
absl::StatusOr<LoadedModel> LoadModel(const ModelSource& source,
                                      const BackendSettings& settings);

// Loads every model that can be loaded and logs why the others cannot.
// Errors: the last one, when none can be, or with `require_all_models` when
// one cannot.
absl::Status LoadModels(const ServeCommand& command,
                        service::ModelRegistry* registry);

}  // namespace spar
