#include <string>
#include <vector>

#include "client/commands.h"
#include "client/decomposition_name.h"
#include "client/decomposition_text.h"
#include "client/prompt_lists.h"

#include "base/status.h"

namespace spar::client {
namespace {

// Of every model, or of one that the line names.
absl::StatusOr<std::vector<std::string>> ModelsAskedFor(Session& session) {
  const CommandLine& line = session.line();
  const std::string& named = line.argument.empty() ? line.model : line.argument;
  std::vector<std::string> names;
  if (!named.empty()) {
    names.push_back(ModelName(named));
    return names;
  }
  ASSIGN_OR_RETURN(const std::vector<v1::Model> models,
                   session.client().ListModels());
  for (const v1::Model& model : models) names.push_back(model.name());
  return names;
}

void Show(Session& session, const v1::Decomposition& decomposition) {
  if (session.json()) {
    session.PrintJson(decomposition);
  } else {
    session.Print(FormatDecomposition(decomposition, session.style()));
  }
}

int ShowOne(Session& session) {
  v1::GetDecompositionRequest request;
  request.set_name(DecompositionName(session.line().argument));
  request.set_view(session.line().norms ? v1::DECOMPOSITION_VIEW_FULL
                                        : v1::DECOMPOSITION_VIEW_MODULES);
  const auto decomposition = session.client().GetDecomposition(request);
  if (!decomposition.ok()) return session.Fail(decomposition.status());
  Show(session, *decomposition);
  return session.Finish(kExitOk);
}

}  // namespace

int RunDecompositions(Session& session) {
  const std::string& argument = session.line().argument;
  const std::string name = DecompositionName(argument);
  if (name.find("/decompositions/") != name.npos) return ShowOne(session);
  const auto models = ModelsAskedFor(session);
  if (!models.ok()) return session.Fail(models.status());
  for (const std::string& model : *models) {
    const auto found = session.client().ListDecompositions(model);
    if (!found.ok()) return session.Fail(found.status());
    for (const v1::Decomposition& decomposition : *found) {
      Show(session, decomposition);
    }
  }
  return session.Finish(kExitOk);
}

int RunImportances(Session& session, Interrupt& interrupt) {
  const CommandLine& line = session.line();
  v1::ImportancesRequest request = line.importances;
  const auto prompts = session.ReadPrompts();
  if (!prompts.ok()) {
    return session.FailUsage(base::MessageOf(prompts.status()));
  }
  request.mutable_prompts()->Assign(prompts->begin(), prompts->end());
  const auto name = FindDecompositionName(session);
  if (!name.ok()) return session.Fail(name.status());
  request.set_name(*name);
  v1::ImportancesStart start;
  PromptReader reader;
  const std::stop_token stop = interrupt.Arm();
  const absl::Status status = session.client().Importances(
      request,
      [&](const v1::ImportancesResponse& response) {
        if (session.json()) {
          session.PrintJson(response);
          return;
        }
        if (response.has_start()) start = response.start();
        // The client has found that the messages fit each other.
        if (!reader.Add(response).ok()) return;
        if (const auto prompt = reader.Take()) {
          session.Print(FormatImportances(start, *prompt, session.style()));
        }
      },
      stop);
  if (status.ok()) return session.Finish(kExitOk);
  const int code = session.Fail(status);
  return stop.stop_requested() ? kExitInterrupted : code;
}

}  // namespace spar::client
