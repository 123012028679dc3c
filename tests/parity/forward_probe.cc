// Test tool. Runs rows on model folders by both code paths and prints what came
// out, for comparison with programs that share nothing with either.
//
//   spar_forward_probe < QUESTIONS.json > ANSWERS.json
//
// QUESTIONS, one per folder: [{"folder", "reference_prompts": [[id..]..],
//   "predict": [[id..]..], "rows": [{"tokens", "target", "off": [unit..],
//   "positions",
//             "reference": "zero"|"mean", "mode": "keep_ids"|"reindex"}..]}..]
// ANSWERS: [{"error"} or {"model": {..}, "rows": [{"exact_logits",
// "exact_margin",
//   "margin", "target_logit", "runner_up", "runner_up_logit",
//   "target_log_probability"}..], "predict": [[[logit by token id]..]..]}..]
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/backend.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/dense_checker.h"
#include "models/torch/torch_backend.h"
#include "tests/parity/probe.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<TokenId>;

Row ReadRow(const Json& json, int num_units) {
  auto prompt = std::make_shared<Prompt>();
  prompt->tokens = json.at("tokens").get<Tokens>();
  prompt->target = json.at("target").get<TokenId>();
  prompt->reference = json.at("reference") == "mean" ? ReferenceKind::kMean
                                                     : ReferenceKind::kZero;
  prompt->position_mode = json.at("mode") == "reindex" ? PositionMode::kReindex
                                                       : PositionMode::kKeepIds;
  Row row;
  row.units = IndexSet::All(num_units);
  for (const int32_t unit : json.at("off").get<std::vector<int32_t>>()) {
    row.units.Remove(unit);
  }
  row.positions = IndexSet(static_cast<int>(prompt->tokens.size()),
                           json.at("positions").get<std::vector<int32_t>>());
  row.prompt = std::move(prompt);
  return row;
}

Json DescribeModel(const Snapshot& snapshot, const UnitTable& units) {
  std::vector<std::string> names;
  for (UnitId unit = 0; unit < units.size(); ++unit) {
    names.push_back(units.Name(unit));
  }
  return Json{{"digest", snapshot.digest()},
              {"weights_digest", snapshot.weights_digest()},
              {"config_json", snapshot.config_json()},
              {"unit_names", names}};
}

absl::StatusOr<Json> AnswerRows(Backend& backend,
                                DenseChecker& checker,
                                const std::vector<Row>& rows) {
  ASSIGN_OR_RETURN(const std::vector<RowResult> results,
                   backend.Evaluate(rows));
  Json answers = Json::array();
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSIGN_OR_RETURN(const std::vector<double> logits, checker.Logits(rows[i]));
    ASSIGN_OR_RETURN(const double margin, backend.EvaluateExactly(rows[i]));
    const RowResult& result = results[i];
    answers.push_back(
        Json{{"exact_logits", logits},
             {"exact_margin", margin},
             {"margin", result.margin},
             {"target_logit", result.target_logit},
             {"runner_up", result.runner_up},
             {"runner_up_logit", result.runner_up_logit},
             {"target_log_probability", result.target_log_probability}});
  }
  return answers;
}

absl::StatusOr<Json> AnswerPredict(Backend& backend, const Tokens& tokens) {
  const int vocab = backend.info().vocab_size;
  ASSIGN_OR_RETURN(const std::vector<PositionPrediction> predictions,
                   backend.Predict(tokens, vocab));
  Json positions = Json::array();
  for (const PositionPrediction& prediction : predictions) {
    std::vector<float> logits(vocab, 0.0f);
    for (const TokenScore& score : prediction.top) {
      logits[score.token] = score.logit;
    }
    positions.push_back(logits);
  }
  return positions;
}

absl::StatusOr<Json> Answer(const Json& questions) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Snapshot> snapshot,
                   Snapshot::Open(questions.at("folder").get<std::string>(),
                                  SnapshotOptions{}));
  TorchBackendOptions options;
  options.num_threads = 1;
  options.reference_prompts =
      questions.at("reference_prompts").get<std::vector<Tokens>>();
  ASSIGN_OR_RETURN(auto checker,
                   DenseChecker::Make(snapshot, options.reference_prompts));
  ASSIGN_OR_RETURN(auto backend, MakeTorchBackend(snapshot, options));

  std::vector<Row> rows;
  for (const Json& row : questions.at("rows")) {
    rows.push_back(ReadRow(row, backend->units().size()));
  }
  Json answers{{"model", DescribeModel(*snapshot, backend->units())}};
  ASSIGN_OR_RETURN(answers["rows"], AnswerRows(*backend, *checker, rows));
  answers["predict"] = Json::array();
  for (const Json& tokens : questions.at("predict")) {
    ASSIGN_OR_RETURN(Json positions,
                     AnswerPredict(*backend, tokens.get<Tokens>()));
    answers["predict"].push_back(std::move(positions));
  }
  return answers;
}

}  // namespace
}  // namespace spar::models

int main() {
  return spar::testing::AnswerQuestions(spar::models::Answer);
}
