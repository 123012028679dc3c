#include "client/ablation_text.h"
#include "client/commands.h"

#include "base/status.h"

namespace spar::client {

int RunAblate(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  const auto prompt = session.ReadPrompt();
  if (!prompt.ok()) return session.FailUsage(base::MessageOf(prompt.status()));
  const auto model = session.client().GetModel(line.model);
  if (!model.ok()) return session.Fail(model.status());
  v1::AblateRequest request = line.ablation;
  request.set_model(model->name());
  *request.mutable_prompt() = *prompt;
  if (line.target_text) request.set_target_text(*line.target_text);
  if (line.target_id) request.set_target_id(*line.target_id);
  request.set_top_k(line.top_k);
  request.set_every_position(line.every_position);
  const std::stop_token stop = interrupt.Arm();
  const absl::Status status = session.client().Ablate(
      request,
      [&](const v1::AblateResponse& response) {
        if (session.json()) {
          session.PrintJson(response);
          return;
        }
        if (response.has_start()) {
          session.Print(FormatAblationStart(response.start(), session.style()));
        }
        for (const v1::AblationRow& row : response.rows().rows()) {
          session.Print(FormatAblationRow(row, session.style()));
        }
      },
      stop);
  if (status.ok()) return session.Finish(kExitOk);
  const int code = session.Fail(status);
  return stop.stop_requested() ? kExitInterrupted : code;
}

}  // namespace spar::client
