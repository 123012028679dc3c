#include <utility>

#include "client/commands.h"
#include "client/graph_output.h"

#include "base/status.h"

namespace spar::client {

int RunAttribute(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  const auto prompt = session.ReadPrompt();
  if (!prompt.ok()) return session.FailUsage(base::MessageOf(prompt.status()));
  const auto model = session.client().GetModel(line.model);
  if (!model.ok()) return session.Fail(model.status());
  const absl::Status writable = CheckGraphFiles(line.graph);
  if (!writable.ok()) return session.FailOutput(base::MessageOf(writable));
  v1::AttributeRequest request = line.attribute;
  request.set_model(model->name());
  *request.mutable_prompt() = *prompt;
  const std::stop_token stop = interrupt.Arm();
  auto graph = session.client().Attribute(
      request,
      [&session](const v1::AttributeResponse& message) {
        if (session.json()) session.PrintJson(message);
      },
      stop);
  if (!graph.ok()) {
    const int code = session.Fail(graph.status());
    return stop.stop_requested() ? kExitInterrupted : code;
  }
  const auto view = GraphView::Make(*std::move(graph));
  if (!view.ok()) return session.Fail(view.status());
  return OutputGraph(session, *view);
}

}  // namespace spar::client
