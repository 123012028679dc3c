// Test tool. Opens imported folders as the server does and says what it read.
//
//   spar_open_probe FOLDER...  > ANSWERS.json
//
// A FOLDER holds model/ and decomposition/. ANSWERS, one per folder: {"error"}
// or {"model_digest", "digest", "canonical_json", "weights_digest", "modules":
// [name..], "components"}.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/decomposition/decomposition_json.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> Answer(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Snapshot> model,
                   Snapshot::Open(folder / "model", {}));
  ASSIGN_OR_RETURN(const std::unique_ptr<Decomposition> decomposition,
                   Decomposition::Open(folder / "decomposition", *model, {}));
  const DecompositionSpec& spec = decomposition->spec();
  std::vector<std::string> modules;
  for (const DecomposedModule& module : spec.modules) {
    modules.push_back(module.name);
  }
  return Json{{"model_digest", model->weights_digest()},
              {"digest", decomposition->digest()},
              {"canonical_json", CanonicalDecompositionJson(spec)},
              {"weights_digest", decomposition->weights_digest()},
              {"modules", modules},
              {"components", spec.num_components()}};
}

int Main(int argc, char** argv) {
  Json answers = Json::array();
  for (int i = 1; i < argc; ++i) {
    const absl::StatusOr<Json> answer = Answer(argv[i]);
    answers.push_back(
        answer.ok() ? *answer : Json{{"error", answer.status().ToString()}});
  }
  std::cout << answers.dump() << "\n";
  return 0;
}

}  // namespace
}  // namespace spar::models

int main(int argc, char** argv) {
  return spar::models::Main(argc, argv);
}
