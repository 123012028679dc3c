#include "client/graph_output.h"

#include "client/graph/exports.h"
#include "client/graph/graph_page.h"
#include "client/graph/graph_text.h"
#include "client/output_file.h"

#include "base/status.h"

namespace spar::client {
namespace {

absl::Status WriteGraphFiles(const GraphArguments& arguments,
                             const GraphView& view) {
  for (const GraphExport& wanted : arguments.exports) {
    ASSIGN_OR_RETURN(const std::string text, Export(view, wanted.format));
    RETURN_IF_ERROR(WriteFile(wanted.path, text));
  }
  if (arguments.html_path.empty()) return absl::OkStatus();
  LayoutLimits limits;
  limits.max_nodes = arguments.html_nodes;
  limits.max_edges = 5 * arguments.html_nodes;
  return WriteFile(arguments.html_path, GraphToHtml(view, limits));
}

}  // namespace

absl::Status CheckGraphFiles(const GraphArguments& arguments) {
  for (const GraphExport& wanted : arguments.exports) {
    RETURN_IF_ERROR(CheckWritable(wanted.path));
  }
  if (arguments.html_path.empty()) return absl::OkStatus();
  return CheckWritable(arguments.html_path);
}

int OutputGraph(Session& session, const GraphView& view) {
  const absl::Status written = WriteGraphFiles(session.line().graph, view);
  if (!written.ok()) return session.FailOutput(base::MessageOf(written));
  if (!session.json()) session.Print(FormatGraph(view, session.style()));
  return session.Finish(kExitOk);
}

}  // namespace spar::client
