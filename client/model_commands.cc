#include <chrono>

#include "client/commands.h"
#include "client/model_text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr double kWaitSeconds = 30;

// The model's full name: what was asked for, else the server's only one.
absl::StatusOr<std::string> NameOfModel(Session& session) {
  if (!session.line().model.empty()) return ModelName(session.line().model);
  ASSIGN_OR_RETURN(v1::Model model, session.client().GetModel(""));
  return model.name();
}

}  // namespace

int RunModels(Session& session) {
  const auto models = session.client().ListModels();
  if (!models.ok()) return session.Fail(models.status());
  if (!session.json()) {
    session.Print(FormatModels(*models, session.style()));
    return session.Finish(kExitOk);
  }
  for (const v1::Model& model : *models) session.PrintJson(model);
  return session.Finish(kExitOk);
}

int RunTokenize(Session& session) {
  const auto prompt = session.ReadPrompt();
  if (!prompt.ok()) return session.FailUsage(base::MessageOf(prompt.status()));
  const auto name = NameOfModel(session);
  if (!name.ok()) return session.Fail(name.status());
  v1::TokenizeRequest request;
  request.set_model(*name);
  request.set_text(prompt->text());
  request.set_ignore_special_tokens(prompt->ignore_special_tokens());
  const auto response = session.client().Tokenize(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(*response);
  } else {
    session.Print(FormatTokens(*response));
  }
  return session.Finish(kExitOk);
}

int RunPredict(Session& session) {
  const auto prompt = session.ReadPrompt();
  if (!prompt.ok()) return session.FailUsage(base::MessageOf(prompt.status()));
  const auto name = NameOfModel(session);
  if (!name.ok()) return session.Fail(name.status());
  v1::PredictRequest request;
  request.set_model(*name);
  *request.mutable_prompt() = *prompt;
  request.set_top_k(session.line().top_k);
  request.set_every_position(session.line().every_position);
  const auto response = session.client().Predict(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(*response);
  } else {
    session.Print(FormatPrediction(*response, session.style()));
  }
  return session.Finish(kExitOk);
}

int RunVerify(Session& session) {
  auto certificate = ReadFile(session.line().argument);
  if (!certificate.ok()) {
    return session.FailUsage(base::MessageOf(certificate.status()));
  }
  const auto name = NameOfModel(session);
  if (!name.ok()) return session.Fail(name.status());
  // The line ends that editors and shells add belong to no certificate.
  certificate->erase(certificate->find_last_not_of("\r\n") + 1);
  v1::VerifyRequest request;
  request.set_model(*name);
  request.set_certificate_json(*certificate);
  const auto response = session.client().Verify(request);
  if (!response.ok()) return session.Fail(response.status());
  if (session.json()) {
    session.PrintJson(*response);
  } else {
    session.Print(FormatVerification(*response, session.style()));
  }
  const bool holds =
      response->verdict() == v1::CERTIFICATE_VERDICT_VALID ||
      response->verdict() == v1::CERTIFICATE_VERDICT_VALID_WITH_BORDERLINE;
  return session.Finish(holds ? kExitOk : kExitInvalidCertificate);
}

int RunWait(Session& session) {
  const double seconds = session.line().timeout_seconds.value_or(kWaitSeconds);
  const absl::Status status = session.client().WaitUntilServing(
      session.line().argument,
      std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3)));
  if (!status.ok()) return session.Fail(status);
  if (!session.json()) session.Print("serving\n");
  return session.Finish(kExitOk);
}

}  // namespace spar::client
