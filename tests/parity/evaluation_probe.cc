// Test tool. Evaluates decompositions and prints every part, for comparison
// with programs that share nothing with Spar.
//
//   spar_evaluation_probe < QUESTIONS.json > ANSWERS.json
//
// QUESTIONS: [{"model", "decomposition", "rows": [[id..]..], "batch_rows",
//   "alive_threshold", "alive_mean", "rounding_threshold", "samples", "seed",
//   "sweep": [..], "subsets": [[module..]..], "attack": {"step_counts",
//   "step_size", "restarts", "max_batches"}, "max_batch_bytes"}..]
// ANSWERS: [{"error"} or {"modules": [name..], "parts": [{"kind", ...}..],
//   "steps", "max_steps"}..]
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/evaluation.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/torch_backend.h"
#include "tests/parity/probe.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

Json ToJson(const Faithfulness& part) {
  Json json{{"kind", "faithfulness"}};
  const auto share = [](const DeltaShare& from) {
    return Json{from.delta, from.weight, from.relative()};
  };
  for (const DeltaShare& module : part.modules) {
    json["modules"].push_back(share(module));
  }
  json["all"] = share(part.all);
  return json;
}

Json ToJson(const Sparsity& part) {
  Json json{{"kind", "sparsity"}, {"positions", part.num_positions}};
  for (const ModuleSparsity& module : part.modules) {
    json["modules"].push_back({{"l0", module.mean_l0},
                               {"alive", module.num_alive},
                               {"active", module.num_active},
                               {"means", module.mean_importances},
                               {"densities", module.densities}});
  }
  return json;
}

Json ToJson(const Reconstruction& part) {
  Json json{{"kind", "reconstruction"}, {"subset", part.subset}};
  for (const MaskedReading& reading : part.readings) {
    Json to{{"masks", static_cast<int>(reading.masks)},
            {"ce", reading.cross_entropy},
            {"difference", reading.difference},
            {"kl", reading.kl}};
    if (reading.unrecovered) to["unrecovered"] = *reading.unrecovered;
    json["readings"].push_back(std::move(to));
  }
  return json;
}

Json ToJson(const OutputErrors& part) {
  Json json{{"kind", "outputs"}, {"masks", static_cast<int>(part.masks)}};
  for (const OutputError& module : part.modules) {
    json["modules"].push_back({module.error, module.clean});
  }
  json["all"] = {part.all.error, part.all.clean};
  return json;
}

Json ToJson(const PatternErrors& part) {
  return {{"kind", "patterns"},
          {"masks", static_cast<int>(part.masks)},
          {"layers", part.layers},
          {"all", part.all}};
}

Json ToJson(const SparsityCurve& part) {
  Json json{{"kind", "curve"}, {"subset", part.subset}};
  for (const SparsityPoint& point : part.points) {
    json["points"].push_back({{"threshold", point.threshold},
                              {"module_l0", point.module_l0},
                              {"l0", point.mean_l0},
                              {"parameters", point.active_parameters},
                              {"ce", point.cross_entropy},
                              {"difference", point.difference},
                              {"kl", point.kl}});
  }
  return json;
}

Json ToJson(const AttackCurve& part) {
  Json json{{"kind", "attack"},
            {"shared", part.scope == AttackScope::kSharedAcrossBatch},
            {"positions", part.num_positions}};
  for (const AttackPoint& point : part.points) {
    json["points"].push_back({{"steps", point.steps},
                              {"kl", point.kl},
                              {"ce", point.cross_entropy},
                              {"difference", point.difference}});
  }
  return json;
}

EvaluationRequest RequestOf(const Json& question) {
  EvaluationRequest request;
  request.decomposition = "probed";
  question.at("rows").get_to(request.rows);
  request.batch_rows = question.value("batch_rows", 0);
  request.alive_threshold = question.value("alive_threshold", 0.0);
  request.alive_mean = question.value("alive_mean", 1e-6);
  request.rounding_threshold = question.value("rounding_threshold", 0.0);
  request.samples = question.value("samples", 1);
  request.seed = question.value("seed", uint64_t{0});
  request.sweep = question.value("sweep", std::vector<double>());
  for (const Json& modules : question.value("subsets", Json::array())) {
    request.subsets.push_back({.modules = modules.get<std::vector<int>>()});
  }
  if (question.contains("attack")) {
    const Json& from = question["attack"];
    EvaluationAttack& attack = request.attack.emplace();
    from.at("step_counts").get_to(attack.step_counts);
    attack.step_size = from.value("step_size", attack.step_size);
    attack.restarts = from.value("restarts", 1);
    attack.max_batches = from.value("max_batches", 0);
  }
  return request;
}

absl::StatusOr<Json> Answer(const Json& question) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Snapshot> snapshot,
                   Snapshot::Open(question.at("model").get<std::string>(),
                                  SnapshotOptions{}));
  ASSIGN_OR_RETURN(
      std::shared_ptr<const Decomposition> decomposition,
      Decomposition::Open(question.at("decomposition").get<std::string>(),
                          *snapshot, SnapshotOptions{}));
  TorchBackendOptions options;
  options.num_threads = 1;
  options.max_batch_bytes = question.value("max_batch_bytes", int64_t{1} << 30);
  options.decompositions = {
      {.name = "probed", .decomposition = std::move(decomposition)}};
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                   MakeTorchBackend(snapshot, options));
  ASSIGN_OR_RETURN(const std::unique_ptr<Evaluation> evaluation,
                   backend->EvaluateDecomposition(RequestOf(question)));
  Json answer{{"parts", Json::array()}};
  for (const DecomposedModule& module :
       backend->FindDecomposition("probed")->modules) {
    answer["modules"].push_back(module.name);
  }
  while (!evaluation->done()) {
    ASSIGN_OR_RETURN(const std::vector<EvaluationPart> parts,
                     evaluation->Next());
    for (const EvaluationPart& part : parts) {
      answer["parts"].push_back(
          std::visit([](const auto& kind) { return ToJson(kind); }, part));
    }
  }
  answer["steps"] = evaluation->state().steps;
  answer["max_steps"] = evaluation->state().max_steps;
  return answer;
}

}  // namespace
}  // namespace spar::models

int main() {
  return spar::testing::AnswerQuestions(spar::models::Answer);
}
