#include "client/decomposition_name.h"

#include "base/status.h"

namespace spar::client {

absl::StatusOr<std::string> FindDecompositionName(Session& session) {
  const CommandLine& line = session.line();
  if (line.argument.find('/') != line.argument.npos) {
    return DecompositionName(line.argument);
  }
  ASSIGN_OR_RETURN(const v1::Model model,
                   session.client().GetModel(line.model));
  return base::Cat(model.name(), "/decompositions/", line.argument);
}

}  // namespace spar::client
