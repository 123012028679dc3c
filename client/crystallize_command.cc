#include <cstdio>
#include <optional>
#include <vector>

#include "client/commands.h"
#include "client/explanation_text.h"
#include "client/output_file.h"
#include "client/progress_line.h"
#include "client/set_source.h"

#include "base/status.h"

namespace spar::client {
namespace {

v1::CrystallizeRequest RequestOf(const CommandLine& line,
                                 const std::string& model,
                                 const v1::Prompt& prompt) {
  v1::CrystallizeRequest request;
  request.set_model(model);
  *request.mutable_prompt() = prompt;
  if (line.target_text) request.set_target_text(*line.target_text);
  if (line.target_id) request.set_target_id(*line.target_id);
  *request.mutable_options() = line.options;
  return request;
}

// The units to begin from, and what the request leaves open: prompt, target,
// scheme, decomposition.
absl::Status Fill(const CommandLine& line,
                  const SavedSet& set,
                  const SetParts& parts,
                  v1::CrystallizeRequest& request) {
  RETURN_IF_ERROR(CheckParts(set, parts));
  v1::CrystallizeOptions& options = *request.mutable_options();
  if (options.unit_scheme() == v1::UNIT_SCHEME_UNSPECIFIED) {
    options.set_unit_scheme(SchemeOf(set));
  }
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                   UnitIdsOf(set, options.unit_scheme(), parts));
  options.mutable_initial_unit_ids()->Assign(ids.begin(), ids.end());
  options.set_decomposition(ShortDecompositionName(parts.decomposition));
  if (!line.has_prompt()) *request.mutable_prompt() = PromptOf(set);
  if (!line.target_text && !line.target_id) {
    request.set_target_id(set.target_id);
  }
  return absl::OkStatus();
}

// An exit code.
int FillFromFile(Session& session,
                 const v1::Model& model,
                 v1::CrystallizeRequest& request) {
  const auto set = ReadSetOf(session.line());
  if (!set.ok()) return session.FailUsage(base::MessageOf(set.status()));
  const auto parts = FindParts(session.client(), model, *set,
                               request.options().decomposition());
  if (!parts.ok()) return session.Fail(parts.status());
  const absl::Status filled = Fill(session.line(), *set, *parts, request);
  return filled.ok() ? kExitOk : session.FailUsage(base::MessageOf(filled));
}

// Runs the search and shows its events.
absl::StatusOr<v1::Explanation> Search(Session& session,
                                       const v1::CrystallizeRequest& request,
                                       std::stop_token stop) {
  const bool shows_progress =
      !session.json() &&
      (session.error_style().live || session.line().always_progress);
  ProgressLine progress(stderr, session.error_style());
  return session.client().Crystallize(
      request,
      [&](const v1::CrystallizeEvent& event) {
        if (shows_progress) {
          progress.Show(FormatProgress(event, session.error_style()));
        }
        if (!session.json()) return;
        v1::CrystallizeResponse response;
        *response.mutable_event() = event;
        session.PrintJson(response);
      },
      stop);
}

int WriteCertificate(Session& session, const v1::Explanation& explanation) {
  const std::string& path = session.line().certificate_path;
  if (!explanation.has_certificate()) {
    return session.FailOutput(base::Cat("there is no certificate to write to ",
                                        path, ": the search ended as ",
                                        VerdictName(explanation.verdict())));
  }
  const absl::Status written =
      WriteFile(path, explanation.certificate().canonical_json());
  return written.ok() ? kExitOk : session.FailOutput(base::MessageOf(written));
}

void Report(Session& session,
            const v1::Explanation& explanation,
            const v1::Model& model) {
  if (!session.json()) {
    session.Print(FormatExplanation(explanation, model, session.style()));
    return;
  }
  v1::CrystallizeResponse response;
  *response.mutable_explanation() = explanation;
  session.PrintJson(response);
}

}  // namespace

int RunCrystallize(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  const auto prompt = session.ReadPrompt();
  if (!prompt.ok()) return session.FailUsage(base::MessageOf(prompt.status()));
  const auto model = session.client().GetModel(line.model);
  if (!model.ok()) return session.Fail(model.status());
  const std::string& path = line.certificate_path;
  if (!path.empty()) {
    const absl::Status writable = CheckWritable(path);
    if (!writable.ok()) return session.FailOutput(base::MessageOf(writable));
  }
  v1::CrystallizeRequest request = RequestOf(line, model->name(), *prompt);
  if (!line.set.path.empty()) {
    const int filled = FillFromFile(session, *model, request);
    if (filled != kExitOk) return filled;
  }
  const std::stop_token stop = interrupt.Arm();
  const auto explanation = Search(session, request, stop);
  if (!explanation.ok()) {
    const int code = session.Fail(explanation.status());
    return stop.stop_requested() ? kExitInterrupted : code;
  }
  Report(session, *explanation, *model);
  const bool crystallized = explanation->verdict() == v1::VERDICT_CRYSTALLIZED;
  const int code = session.Finish(crystallized ? kExitOk : kExitOtherVerdict);
  if (path.empty()) return code;
  const int written = WriteCertificate(session, *explanation);
  return crystallized && code == kExitOk ? written : code;
}

}  // namespace spar::client
