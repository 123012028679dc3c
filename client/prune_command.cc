#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "client/commands.h"
#include "client/explanation_text.h"
#include "client/output_file.h"
#include "client/progress_line.h"
#include "client/prune_text.h"
#include "client/saved_set.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr std::string_view kRowMark = "{row}";

// The i-th of what is given once for each prompt, or the one for all.
template <typename Value>
const Value& ForPrompt(const std::vector<Value>& values, size_t i) {
  return values.size() == 1 ? values.front() : values[i];
}

absl::Status CheckCount(std::string_view name,
                        size_t count,
                        size_t num_prompts) {
  if (count <= 1 || count == num_prompts) return absl::OkStatus();
  return absl::InvalidArgumentError(base::AbslView(base::Cat(
      name, " is given ", count, " times for ", num_prompts, " prompts")));
}

// Whether the certificates' files can be told apart.
absl::Status CheckCertificatePath(const std::string& pattern,
                                  int64_t num_rows) {
  if (pattern.empty() || num_rows == 1 ||
      pattern.find(kRowMark) != pattern.npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      base::AbslView(base::Cat("--certificate ", pattern, " is one file for ",
                               num_rows, " rows: want ", kRowMark, " in it")));
}

absl::StatusOr<v1::PruneRequest> RequestOf(
    const CommandLine& line, const std::vector<v1::Prompt>& prompts) {
  const PruneArguments& prune = line.prune;
  const size_t count = prompts.size();
  RETURN_IF_ERROR(CheckCount("--target", prune.target_texts.size(), count));
  RETURN_IF_ERROR(CheckCount("--target-id", prune.target_ids.size(), count));
  RETURN_IF_ERROR(CheckCount("--position", prune.positions.size(), count));
  v1::PruneRequest request = prune.request;
  for (size_t i = 0; i < count; ++i) {
    v1::PrunePrompt& prompt = *request.add_prompts();
    *prompt.mutable_prompt() = prompts[i];
    if (!prune.positions.empty()) {
      prompt.set_position(ForPrompt(prune.positions, i));
    }
    if (!prune.target_texts.empty()) {
      prompt.set_target_text(ForPrompt(prune.target_texts, i));
    }
    if (!prune.target_ids.empty()) {
      prompt.set_target_id(ForPrompt(prune.target_ids, i));
    }
  }
  if (prune.crystallize) *request.mutable_crystallize() = line.options;
  RETURN_IF_ERROR(CheckCertificatePath(
      line.certificate_path, int64_t{request.prompts_size()} *
                                 std::max(1, request.coefficients_size())));
  return request;
}

std::string CertificatePath(const std::string& pattern, int row) {
  std::string path = pattern;
  const size_t mark = path.find(kRowMark);
  if (mark != path.npos) {
    path.replace(mark, kRowMark.size(), std::to_string(row));
  }
  return path;
}

// Before any work: whether the files can be written.
absl::Status CheckFiles(const CommandLine& line) {
  if (!line.prune.save_path.empty()) {
    RETURN_IF_ERROR(CheckWritable(line.prune.save_path));
  }
  if (line.certificate_path.empty()) return absl::OkStatus();
  return CheckWritable(CertificatePath(line.certificate_path, 0));
}

absl::Status WriteCertificates(const std::string& pattern,
                               const PruneAnswer& answer) {
  for (const auto& [row, pruned] : answer.explanations) {
    if (!pruned.explanation().has_certificate()) continue;
    RETURN_IF_ERROR(
        WriteFile(CertificatePath(pattern, row),
                  pruned.explanation().certificate().canonical_json()));
  }
  return absl::OkStatus();
}

absl::Status WriteFiles(const CommandLine& line, const PruneAnswer& answer) {
  if (!line.prune.save_path.empty()) {
    ASSIGN_OR_RETURN(const std::string lines, JsonLinesOf(answer));
    RETURN_IF_ERROR(WriteFile(line.prune.save_path, lines));
  }
  if (line.certificate_path.empty()) return absl::OkStatus();
  return WriteCertificates(line.certificate_path, answer);
}

// Runs the pruning and shows how it goes.
absl::StatusOr<PruneAnswer> Prune(Session& session,
                                  const v1::PruneRequest& request,
                                  std::stop_token stop) {
  const bool shows_progress =
      !session.json() &&
      (session.error_style().live || session.line().always_progress);
  ProgressLine progress(stderr, session.error_style());
  return session.client().Prune(
      request,
      [&](const v1::PruneResponse& response) {
        if (session.json()) session.PrintJson(response);
        if (shows_progress && response.has_progress()) {
          progress.Show(
              FormatProgress(response.progress(), session.error_style()));
        }
      },
      stop);
}

void Report(Session& session,
            const PruneAnswer& answer,
            const v1::Model& model) {
  const Style& style = session.style();
  session.Print(FormatPruning(answer, style));
  for (int i = 0; i < answer.header.prompts_size(); ++i) {
    session.Print(FormatPrunedPrompt(answer, i, style));
    const auto found = answer.explanations.find(ChosenRow(answer, i));
    if (found == answer.explanations.end()) continue;
    session.Print(FormatExplanation(found->second.explanation(), model, style));
  }
}

bool AllCrystallized(const PruneAnswer& answer) {
  return std::all_of(answer.explanations.begin(), answer.explanations.end(),
                     [](const auto& row) {
                       return row.second.explanation().verdict() ==
                              v1::VERDICT_CRYSTALLIZED;
                     });
}

}  // namespace

int RunPrune(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  const auto prompts = session.ReadPrompts();
  if (!prompts.ok()) {
    return session.FailUsage(base::MessageOf(prompts.status()));
  }
  auto request = RequestOf(line, *prompts);
  if (!request.ok()) {
    return session.FailUsage(base::MessageOf(request.status()));
  }
  const auto model = session.client().GetModel(line.model);
  if (!model.ok()) return session.Fail(model.status());
  request->set_model(model->name());
  const absl::Status writable = CheckFiles(line);
  if (!writable.ok()) return session.FailOutput(base::MessageOf(writable));
  const std::stop_token stop = interrupt.Arm();
  const auto answer = Prune(session, *request, stop);
  if (!answer.ok()) {
    const int code = session.Fail(answer.status());
    return stop.stop_requested() ? kExitInterrupted : code;
  }
  if (!session.json()) Report(session, *answer, *model);
  const int code =
      session.Finish(AllCrystallized(*answer) ? kExitOk : kExitOtherVerdict);
  const absl::Status written = WriteFiles(line, *answer);
  if (!written.ok()) return session.FailOutput(base::MessageOf(written));
  return code;
}

}  // namespace spar::client
