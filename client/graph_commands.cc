// L5. `spar graph`, `spar compare`, `spar aggregate`: saved graphs, no server.
#include <optional>
#include <utility>
#include <vector>

#include "client/commands.h"
#include "client/graph/graph_file.h"
#include "client/graph/graph_text.h"
#include "client/graph/node_names.h"
#include "client/graph/several_graphs.h"
#include "client/graph_output.h"

#include "base/status.h"

namespace spar::client {
namespace {

absl::StatusOr<GraphView> ReadGraph(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  absl::StatusOr<GraphView> view = GraphFromBytes(bytes);
  if (!view.ok()) return base::Annotate(view.status(), path);
  return view;
}

absl::StatusOr<std::vector<GraphView>> ReadGraphs(
    const std::vector<std::string>& paths) {
  std::vector<GraphView> graphs;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(GraphView view, ReadGraph(path));
    graphs.push_back(std::move(view));
  }
  return graphs;
}

bool AsksAnew(const GraphArguments& arguments) {
  return !arguments.target.empty() || !arguments.source.empty() ||
         arguments.num_paths.has_value() || arguments.weighting.has_value();
}

// The graph with the answer that the command line asks for.
absl::StatusOr<GraphView> AnsweredAnew(const GraphView& view,
                                       const GraphArguments& arguments) {
  const v1::AttributionAnswer& saved = view.message().summary().answer();
  GraphQuestion question;
  if (!arguments.target.empty()) {
    ASSIGN_OR_RETURN(question.target, FindNode(view, arguments.target));
  }
  if (!arguments.source.empty()) {
    ASSIGN_OR_RETURN(question.source, FindNode(view, arguments.source));
  } else if (saved.has_source_node()) {
    question.source = saved.source_node();
  }
  question.num_paths = arguments.num_paths.value_or(
      saved.paths().empty() ? question.num_paths : saved.paths_size());
  question.weighting = arguments.weighting.value_or(saved.path_weighting());
  v1::AttributionGraph message = view.message();
  ASSIGN_OR_RETURN(*message.mutable_summary()->mutable_answer(),
                   AnswerOf(view, question));
  return GraphView::Make(std::move(message));
}

}  // namespace

int RunGraph(Session& session) {
  const GraphArguments& arguments = session.line().graph;
  absl::StatusOr<GraphView> view = ReadGraph(arguments.files.front());
  if (view.ok() && AsksAnew(arguments)) view = AnsweredAnew(*view, arguments);
  if (!view.ok()) return session.FailUsage(base::MessageOf(view.status()));
  const absl::Status writable = CheckGraphFiles(arguments);
  if (!writable.ok()) return session.FailOutput(base::MessageOf(writable));
  if (session.json()) session.PrintJson(view->message());
  return OutputGraph(session, *view);
}

int RunCompare(Session& session) {
  const auto graphs = ReadGraphs(session.line().graph.files);
  if (!graphs.ok()) return session.FailUsage(base::MessageOf(graphs.status()));
  const GraphView& left = graphs->front();
  const GraphView& right = graphs->back();
  const auto comparison = CompareGraphs(left, right);
  if (!comparison.ok()) {
    return session.FailUsage(base::MessageOf(comparison.status()));
  }
  if (session.json()) {
    session.PrintJson(*comparison);
  } else {
    session.Print(FormatComparison(*comparison, left, right,
                                   session.line().graph.num_lines,
                                   session.style()));
  }
  return session.Finish(kExitOk);
}

int RunAggregate(Session& session) {
  const auto graphs = ReadGraphs(session.line().graph.files);
  if (!graphs.ok()) return session.FailUsage(base::MessageOf(graphs.status()));
  const auto aggregate = AggregateGraphs(*graphs);
  if (!aggregate.ok()) {
    return session.FailUsage(base::MessageOf(aggregate.status()));
  }
  if (session.json()) {
    session.PrintJson(*aggregate);
  } else {
    session.Print(FormatAggregate(*aggregate, session.line().graph.num_lines,
                                  session.style()));
  }
  return session.Finish(kExitOk);
}

}  // namespace spar::client
