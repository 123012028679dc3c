// Test tool. Makes certificates, and has the server's own check judge some.
//
//   spar_certificate_probe < REQUESTS.json > RESPONSES.json
//
// REQUESTS, one per folder: [{"folder", "decomposition": its folder or null,
//   "reference_prompts": [[id..]..], "questions": [{"tokens", "mode", "scheme",
//   "reference", "position_mode"}..], "verify": [certificate as a
//   string..]}..]
// RESPONSES: [{"error"} or
//   {"answers": [{"verdict", "remark", "certificate": string or null, "units",
//     "positions", "precision", "contrast"}..],
//   "verdicts": [{"verdict", "findings", "margin"} or {"error"}..]}..]
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/torch_backend.h"
#include "server/search/certificate.h"
#include "server/search/explainer.h"
#include "tests/parity/probe.h"

namespace spar::search {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<models::TokenId>;

constexpr char kDecomposition[] = "main";

absl::StatusOr<Question> ReadQuestion(const Json& json) {
  Question question;
  question.tokens = json.at("tokens").get<Tokens>();
  CrystallizeOptions& options = question.options;
  options.mode =
      json.at("mode") == "SUFFICIENT" ? Mode::kSufficient : Mode::kGrounded;
  ASSIGN_OR_RETURN(options.scheme, models::ParseUnitScheme(
                                       json.at("scheme").get<std::string>()));
  options.reference = json.at("reference") == "mean"
                          ? models::ReferenceKind::kMean
                          : models::ReferenceKind::kZero;
  options.position_mode = json.at("position_mode") == "reindex"
                              ? models::PositionMode::kReindex
                              : models::PositionMode::kKeepIds;
  if (models::SpaceOf(options.scheme) != models::UnitSpace::kHeadsAndNeurons) {
    options.decomposition = kDecomposition;
  }
  return question;
}

Json Describe(const Explanation& explanation) {
  Json answer{{"verdict", static_cast<int>(explanation.verdict)},
              {"remark", explanation.remark},
              {"units", explanation.units},
              {"positions", explanation.positions},
              {"precision", explanation.precision.value},
              {"contrast", explanation.contrast.value},
              {"certificate", nullptr}};
  if (explanation.certificate.has_value()) {
    answer["certificate"] = CertificateToJson(*explanation.certificate);
  }
  return answer;
}

absl::StatusOr<Json> Ask(Explainer& explainer, const Json& json) {
  ASSIGN_OR_RETURN(Question question, ReadQuestion(json));
  auto done = std::make_shared<std::promise<absl::StatusOr<Explanation>>>();
  ASSIGN_OR_RETURN([[maybe_unused]] const SearchId id,
                   explainer.Start(
                       std::move(question), [](const Event&) {},
                       [done](absl::StatusOr<Explanation> explanation) {
                         done->set_value(std::move(explanation));
                       }));
  ASSIGN_OR_RETURN(const Explanation explanation, done->get_future().get());
  return Describe(explanation);
}

std::string VerdictName(CertificateVerdict verdict) {
  switch (verdict) {
    case CertificateVerdict::kValid:
      return "valid";
    case CertificateVerdict::kValidWithBorderline:
      return "valid with borderline";
    case CertificateVerdict::kInvalid:
      return "invalid";
  }
  return "unknown";
}

Json Judge(Explainer& explainer, const std::string& certificate) {
  auto done = std::make_shared<std::promise<absl::StatusOr<Verification>>>();
  explainer.Verify(certificate, [done](absl::StatusOr<Verification> result) {
    done->set_value(std::move(result));
  });
  const absl::StatusOr<Verification> result = done->get_future().get();
  if (!result.ok()) {
    return Json{{"error", std::string(base::MessageOf(result.status()))}};
  }
  return Json{{"verdict", VerdictName(result->verdict)},
              {"findings", result->findings},
              {"margin", result->margin}};
}

absl::StatusOr<Json> Respond(const Json& request) {
  ASSIGN_OR_RETURN(
      std::shared_ptr<const models::Snapshot> snapshot,
      models::Snapshot::Open(request.at("folder").get<std::string>(),
                             models::SnapshotOptions{}));
  models::TorchBackendOptions options;
  options.num_threads = 1;
  options.reference_prompts =
      request.at("reference_prompts").get<std::vector<Tokens>>();
  if (const Json& folder = request.at("decomposition"); !folder.is_null()) {
    ASSIGN_OR_RETURN(
        std::shared_ptr<const models::Decomposition> decomposition,
        models::Decomposition::Open(folder.get<std::string>(), *snapshot,
                                    models::SnapshotOptions{}));
    options.decompositions = {
        {.name = kDecomposition, .decomposition = std::move(decomposition)}};
  }
  ASSIGN_OR_RETURN(auto backend, models::MakeTorchBackend(snapshot, options));
  const auto explainer =
      Explainer::Make(std::move(backend), ExplainerOptions{});
  Json response{{"answers", Json::array()}, {"verdicts", Json::array()}};
  for (const Json& question : request.at("questions")) {
    ASSIGN_OR_RETURN(Json answer, Ask(*explainer, question));
    response["answers"].push_back(std::move(answer));
  }
  for (const Json& certificate : request.at("verify")) {
    response["verdicts"].push_back(
        Judge(*explainer, certificate.get<std::string>()));
  }
  return response;
}

}  // namespace
}  // namespace spar::search

int main() {
  return spar::testing::AnswerQuestions(spar::search::Respond);
}
