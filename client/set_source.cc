#include "client/set_source.h"

#include <utility>
#include <vector>

#include "base/status.h"

namespace spar::client {
namespace {

// The one with the set's digest.
absl::StatusOr<std::string> NameByDigest(Client& client,
                                         const v1::Model& model,
                                         const std::string& digest) {
  if (digest.empty()) {
    return absl::NotFoundError(
        "the set does not say of which decomposition it is: --decomposition "
        "names it");
  }
  ASSIGN_OR_RETURN(const std::vector<v1::Decomposition> found,
                   client.ListDecompositions(model.name()));
  for (const v1::Decomposition& decomposition : found) {
    if (decomposition.digest() == digest) return decomposition.name();
  }
  return absl::NotFoundError(base::AbslView(
      base::Cat("none of the ", found.size(), " decompositions of ",
                model.name(), " has the set's digest ", digest)));
}

}  // namespace

absl::StatusOr<SavedSet> ReadSetOf(const CommandLine& line) {
  const std::string& path = line.set.path;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<SavedSet> set = ReadSavedSet(text, line.set.choice);
  if (!set.ok()) return base::Annotate(set.status(), path);
  return set;
}

absl::StatusOr<SetParts> FindParts(Client& client,
                                   const v1::Model& model,
                                   const SavedSet& set,
                                   const std::string& named) {
  SetParts parts;
  parts.model = model;
  if (set.space == UnitSpace::kHeadsAndNeurons) return parts;
  const std::string& told = named.empty() ? set.decomposition : named;
  std::string name = base::Cat(model.name(), "/decompositions/", told);
  if (told.empty()) {
    ASSIGN_OR_RETURN(name,
                     NameByDigest(client, model, set.decomposition_digest));
  }
  v1::GetDecompositionRequest request;
  request.set_name(name);
  request.set_view(v1::DECOMPOSITION_VIEW_MODULES);
  ASSIGN_OR_RETURN(parts.decomposition, client.GetDecomposition(request));
  return parts;
}

std::string ShortDecompositionName(const v1::Decomposition& decomposition) {
  const std::string& name = decomposition.name();
  return name.substr(name.rfind('/') + 1);
}

}  // namespace spar::client
