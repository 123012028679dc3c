#include <utility>
#include <vector>

#include "client/commands.h"
#include "client/graph_output.h"
#include "client/set_source.h"

#include "base/status.h"

namespace spar::client {
namespace {

// Nodes, and what the request leaves open: prompt, decomposition, target.
absl::Status Fill(const CommandLine& line,
                  const SavedSet& set,
                  const SetParts& parts,
                  v1::AttributeRequest& request) {
  RETURN_IF_ERROR(CheckParts(set, parts));
  ASSIGN_OR_RETURN(const std::vector<v1::AttributionNodeRef> nodes,
                   NodeRefsOf(set, parts));
  v1::AttributeOptions& options = *request.mutable_options();
  options.mutable_nodes()->Assign(nodes.begin(), nodes.end());
  request.set_decomposition(ShortDecompositionName(parts.decomposition));
  if (!line.has_prompt()) *request.mutable_prompt() = PromptOf(set);
  v1::AttributionQuery& query = *request.mutable_query();
  if (!query.has_logit()) {
    query.mutable_logit()->set_token_id(set.target_id);
    options.add_logits()->set_token_id(set.target_id);
  }
  return absl::OkStatus();
}

// An exit code.
int FillFromFile(Session& session,
                 const v1::Model& model,
                 v1::AttributeRequest& request) {
  const auto set = ReadSetOf(session.line());
  if (!set.ok()) return session.FailUsage(base::MessageOf(set.status()));
  const auto parts =
      FindParts(session.client(), model, *set, request.decomposition());
  if (!parts.ok()) return session.Fail(parts.status());
  const absl::Status filled = Fill(session.line(), *set, *parts, request);
  return filled.ok() ? kExitOk : session.FailUsage(base::MessageOf(filled));
}

}  // namespace

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
  if (!line.set.path.empty()) {
    const int filled = FillFromFile(session, *model, request);
    if (filled != kExitOk) return filled;
  }
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
