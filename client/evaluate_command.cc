#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "client/commands.h"
#include "client/decomposition_name.h"
#include "client/evaluation_report.h"
#include "client/evaluation_text.h"
#include "client/output_file.h"
#include "client/progress_line.h"
#include "client/text_pieces.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr size_t kPieceBytes = 200'000;  // a prompt's text may have 262,144

absl::StatusOr<v1::EvaluateRequest> EvaluateRequestOf(Session& session) {
  const EvaluateArguments& evaluate = session.line().evaluate;
  v1::EvaluateRequest request = evaluate.request;
  if (!evaluate.no_attack) {
    *request.mutable_options()->mutable_attack() = evaluate.attack;
  }
  ASSIGN_OR_RETURN(const std::vector<v1::Prompt> prompts,
                   session.ReadPrompts());
  request.mutable_prompts()->Assign(prompts.begin(), prompts.end());
  if (!evaluate.text_paths.empty() && request.options().row_length() == 0) {
    return absl::InvalidArgumentError("--text needs --row-length");
  }
  for (const std::string& path : evaluate.text_paths) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    for (std::string& piece : TextPieces(text, kPieceBytes)) {
      v1::Prompt& prompt = *request.add_prompts();
      prompt.set_text(std::move(piece));
      prompt.set_ignore_special_tokens(session.line().ignore_special_tokens);
    }
  }
  return request;
}

// Before any work: whether the folder can be had.
absl::Status PrepareFolder(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::DataLossError(
        base::AbslView(base::Cat("cannot make ", path, ": ", error.message())));
  }
  return CheckWritable(path + "/report.md");
}

absl::Status WriteReport(const std::string& path,
                         const EvaluationAnswer& answer) {
  if (path.empty()) return absl::OkStatus();
  const std::map<std::string, std::string> files = ReportOf(answer);
  for (const auto& [name, content] : files) {
    RETURN_IF_ERROR(WriteFile(base::Cat(path, "/", name), content));
  }
  return absl::OkStatus();
}

absl::StatusOr<EvaluationAnswer> Evaluate(Session& session,
                                          const v1::EvaluateRequest& request,
                                          std::stop_token stop) {
  const bool shows_progress =
      !session.json() &&
      (session.error_style().live || session.line().always_progress);
  ProgressLine progress(stderr, session.error_style());
  return session.client().Evaluate(
      request,
      [&](const v1::EvaluateResponse& response) {
        if (session.json()) session.PrintJson(response);
        if (shows_progress && response.has_progress()) {
          progress.Show(
              FormatProgress(response.progress(), session.error_style()));
        }
      },
      stop);
}

}  // namespace

int RunEvaluate(Session& session, Interrupt& interrupt) {
  auto request = EvaluateRequestOf(session);
  if (!request.ok()) {
    return session.FailUsage(base::MessageOf(request.status()));
  }
  const auto name = FindDecompositionName(session);
  if (!name.ok()) return session.Fail(name.status());
  request->set_name(*name);
  const std::string& folder = session.line().evaluate.report_path;
  const absl::Status ready = PrepareFolder(folder);
  if (!ready.ok()) return session.FailOutput(base::MessageOf(ready));
  const std::stop_token stop = interrupt.Arm();
  const auto answer = Evaluate(session, *request, stop);
  if (!answer.ok()) {
    const int code = session.Fail(answer.status());
    return stop.stop_requested() ? kExitInterrupted : code;
  }
  if (!session.json()) {
    session.Print(FormatEvaluation(*answer, session.style()));
  }
  const int code = session.Finish(kExitOk);
  const absl::Status written = WriteReport(folder, *answer);
  if (!written.ok()) return session.FailOutput(base::MessageOf(written));
  return code;
}

}  // namespace spar::client
