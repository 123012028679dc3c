// Test tool. Loads decompositions beside their models and prints what they say
// about prompts, for comparison with programs that share nothing with Spar.
//
//   spar_decomposition_probe < QUESTIONS.json > ANSWERS.json
//
// QUESTIONS: [{"model", "decomposition", "dtype", "prompts": [[id..]..],
//   "threshold", "summary": true to leave out all lists}..]
// ANSWERS: [{"error"} or {"digest", "identity_error", "memory_bytes",
//   "process_bytes", "load_seconds", "importances_seconds", "alive": of all
//   subcomponents at all positions above the threshold, "names": [module..],
//   "weight_norm", "delta_norm": [..by module], "component_norms": [[..]..],
//   "a", "z", "lower", "upper": [[[..C]..tokens]..modules],
//   "sparse": [[{"begin", "component", "importance", "activation"}..modules]
//              ..prompts]}..]
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/decomposition/loaded_decomposition.h"
#include "models/torch/decomposition/sparse_importances.h"
#include "models/torch/device.h"
#include "tests/parity/probe.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
using Prompts = std::vector<std::vector<TokenId>>;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// Memory of the process that no file backs.
int64_t ProcessBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "RssAnon:") continue;
    int64_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

size_t CountAlive(const std::vector<PromptImportances>& prompts) {
  size_t alive = 0;
  for (const PromptImportances& prompt : prompts) {
    for (const ModuleImportances& module : prompt.modules) {
      alive += module.component.size();
    }
  }
  return alive;
}

Json Rows(const at::Tensor& x) {
  const at::Tensor host = x.to(at::kFloat).contiguous();
  const float* const values = host.const_data_ptr<float>();
  Json rows = Json::array();
  for (int64_t i = 0; i < host.size(0); ++i) {
    rows.push_back(std::vector<float>(values + i * host.size(1),
                                      values + (i + 1) * host.size(1)));
  }
  return rows;
}

void AddDense(const Decoder& decoder,
              const LoadedDecomposition& loaded,
              const Prompts& prompts,
              Json& answer) {
  std::vector<Sequence> sequences;
  for (const auto& prompt : prompts) {
    sequences.push_back(WholeSequence(prompt));
  }
  SequenceBatch batch(decoder, std::move(sequences));
  const DecompositionSpec& spec = loaded.spec();
  const ModuleInputs inputs = CaptureInputs(decoder, batch, spec.modules);
  const std::vector<at::Tensor> a = loaded.Activations(inputs);
  const std::vector<at::Tensor> z = loaded.Logits(inputs, a);
  for (size_t m = 0; m < z.size(); ++m) {
    answer["names"].push_back(spec.modules[m].name);
    answer["a"].push_back(Rows(a[m]));
    answer["z"].push_back(Rows(z[m]));
    answer["lower"].push_back(
        Rows(LowerSigmoid(spec.sigmoid, spec.sampling, z[m])));
    answer["upper"].push_back(Rows(UpperSigmoid(spec.sigmoid, z[m])));
  }
}

absl::StatusOr<Json> Answer(const Json& question) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Snapshot> snapshot,
                   Snapshot::Open(question.at("model").get<std::string>(),
                                  SnapshotOptions{}));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Decomposition> decomposition,
      Decomposition::Open(question.at("decomposition").get<std::string>(),
                          *snapshot, SnapshotOptions{}));
  ASSIGN_OR_RETURN(const at::ScalarType dtype,
                   ParseDtype(question.at("dtype").get<std::string>()));
  const Decoder decoder = LoadDecoder(*snapshot, at::kCPU, at::kFloat);
  const auto load_start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const std::unique_ptr<LoadedDecomposition> loaded,
                   LoadedDecomposition::Load("probe", *decomposition, *snapshot,
                                             decoder, dtype));
  const DecompositionInfo& info = loaded->info();
  Json answer{{"digest", info.digest},
              {"identity_error", info.identity_error},
              {"memory_bytes", info.memory_bytes},
              {"load_seconds", SecondsSince(load_start)}};
  for (const ModuleMeasures& measures : info.modules) {
    answer["weight_norm"].push_back(measures.weight_norm);
    answer["delta_norm"].push_back(measures.delta_norm);
    answer["component_norms"].push_back(measures.component_norms);
  }
  const auto prompts = question.at("prompts").get<Prompts>();
  const bool summary = question.value("summary", false);
  const auto run_start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(
      const std::vector<PromptImportances> sparse,
      ComputeImportances(decoder, *loaded, prompts,
                         {.threshold = question.at("threshold").get<double>()},
                         summary ? int64_t{1} << 30 : 1));
  answer["importances_seconds"] = SecondsSince(run_start);
  answer["process_bytes"] = ProcessBytes();
  answer["alive"] = CountAlive(sparse);
  if (summary) {
    answer.erase("component_norms");
    return answer;
  }
  AddDense(decoder, *loaded, prompts, answer);
  for (const PromptImportances& prompt : sparse) {
    Json modules = Json::array();
    for (const ModuleImportances& module : prompt.modules) {
      modules.push_back({{"begin", module.begin},
                         {"component", module.component},
                         {"importance", module.importance},
                         {"activation", module.activation}});
    }
    answer["sparse"].push_back(std::move(modules));
  }
  return answer;
}

}  // namespace
}  // namespace spar::models

int main() {
  return spar::testing::AnswerQuestions(spar::models::Answer);
}
