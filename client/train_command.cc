#include <cstdio>
#include <string>

#include "client/commands.h"
#include "client/progress_line.h"
#include "client/text.h"
#include "client/training_text.h"

#include "base/status.h"

namespace spar::client {
namespace {

// On a screen one line that is rewritten; elsewhere a line for each step that
// the server logs, and for each checkpoint.
class TrainingDisplay {
 public:
  explicit TrainingDisplay(const Session& session)
      : style_(session.error_style()), line_(stderr, style_) {}

  void Show(const v1::TrainResponse& response) {
    if (response.has_progress()) {
      const v1::TrainingProgress& progress = response.progress();
      if (style_.live || progress.is_logged()) {
        line_.Show(FormatProgress(progress, style_));
      }
    } else if (response.has_checkpoint() && !style_.live) {
      line_.Show(TrainingText(response.checkpoint()));
    }
  }

 private:
  const Style style_;
  ProgressLine line_;
};

std::string SummaryText(const v1::TrainingSummary& summary) {
  return base::Cat(Escaped(summary.decomposition_path()), "\n  digest ",
                   Escaped(summary.decomposition_digest()), "\n  ",
                   Seconds(summary.elapsed()), "\n");
}

absl::StatusOr<v1::TrainingSummary> TrainOnServer(
    Session& session, const v1::TrainRequest& request, std::stop_token stop) {
  TrainingDisplay display(session);
  return session.client().Train(
      request,
      [&](const v1::TrainResponse& response) {
        if (session.json()) {
          session.PrintJson(response);
        } else {
          display.Show(response);
        }
      },
      stop);
}

}  // namespace

int RunTrain(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  const auto config = ReadFile(line.train_config);
  if (!config.ok()) return session.FailUsage(base::MessageOf(config.status()));
  const auto model = session.client().GetModel(line.model);
  if (!model.ok()) return session.Fail(model.status());
  v1::TrainRequest request;
  request.set_model(model->name());
  request.set_config_json(*config);
  request.set_resume(line.resume);
  const std::stop_token stop = interrupt.Arm();
  const auto summary = TrainOnServer(session, request, stop);
  if (!summary.ok()) {
    const int code = session.Fail(summary.status());
    return stop.stop_requested() ? kExitInterrupted : code;
  }
  if (!session.json()) session.Print(SummaryText(*summary));
  return session.Finish(kExitOk);
}

}  // namespace spar::client
