#include "models/train/train_modules.h"

#include <set>
#include <utility>

#include <fnmatch.h>

#include "base/status.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

using base::Cat;

absl::Status Refuse(const std::string& field, const std::string& message) {
  return base::InvalidArgument("BAD_TRAIN_CONFIG", field,
                               Cat("field '", field, "': ", message));
}

// Indices of the modules that a pattern picks.
std::vector<int> Picked(const std::string& pattern,
                        const std::vector<DecomposedModule>& modules) {
  std::vector<int> picked;
  for (size_t m = 0; m < modules.size(); ++m) {
    if (fnmatch(pattern.c_str(), modules[m].name.c_str(), 0) == 0) {
      picked.push_back(static_cast<int>(m));
    }
  }
  return picked;
}

std::string NamesOf(const std::vector<DecomposedModule>& modules) {
  std::string names;
  for (const DecomposedModule& module : modules) {
    names += Cat(names.empty() ? "" : ", ", module.name);
  }
  return names;
}

absl::StatusOr<std::vector<CiGroup>> GroupsOf(
    const std::vector<GroupPatterns>& patterns,
    const std::vector<DecomposedModule>& modules) {
  std::vector<CiGroup> groups;
  std::set<int> seen;
  for (size_t i = 0; i < patterns.size(); ++i) {
    const std::string field = Cat("ci_config.block_groups[", i, "]");
    CiGroup group;
    group.name = patterns[i].name;
    for (const std::string& pattern : patterns[i].patterns) {
      for (const int m : Picked(pattern, modules)) {
        if (!seen.insert(m).second) {
          return Refuse(field, Cat("module ", Quoted(modules[m].name),
                                   " is in two groups"));
        }
        group.modules.push_back(m);
      }
    }
    if (group.modules.empty()) return Refuse(field, "picks no module");
    groups.push_back(std::move(group));
  }
  if (seen.size() != modules.size()) {
    return Refuse(
        "ci_config.block_groups",
        Cat("holds ", seen.size(), " of the ", modules.size(), " modules"));
  }
  return groups;
}

}  // namespace

absl::StatusOr<DecompositionSpec> SpecOf(
    const TrainConfig& config,
    const std::vector<DecomposedModule>& modules,
    const std::string& target_digest) {
  std::vector<int> components(modules.size(), 0);
  for (size_t i = 0; i < config.modules.size(); ++i) {
    const ModulePattern& pattern = config.modules[i];
    const std::string field = Cat("module_info[", i, "].module_pattern");
    const std::vector<int> picked = Picked(pattern.pattern, modules);
    if (picked.empty()) {
      return Refuse(field, Cat(Quoted(pattern.pattern),
                               " picks nothing; there are ", NamesOf(modules)));
    }
    for (const int m : picked) {
      if (components[m] != 0) {
        return Refuse(
            field, Cat("module ", Quoted(modules[m].name), " is picked twice"));
      }
      components[m] = pattern.num_components;
    }
  }
  DecompositionSpec spec;
  spec.target_weights_digest = target_digest;
  for (size_t m = 0; m < modules.size(); ++m) {
    if (components[m] == 0) continue;
    spec.modules.push_back(modules[m]);
    spec.modules.back().num_components = components[m];
  }
  NumberComponents(spec.modules);
  spec.ci = config.ci;
  if (spec.ci.kind == CiKind::kGlobalReverseResidual) {
    ASSIGN_OR_RETURN(spec.ci.groups, GroupsOf(config.groups, spec.modules));
  }
  const bool embedding = spec.modules[0].site == ModuleSite::kEmbedding;
  if (embedding && !IsGlobal(spec.ci.kind) && spec.ci.kind != CiKind::kMlp) {
    return Refuse("ci_config.fn_type",
                  "reads a module's input, and the embedding's are token ids");
  }
  if (spec.ci.attention.has_value() &&
      spec.ci.attention->max_positions < config.data.sequence_length) {
    return Refuse(
        "task_config.max_seq_len",
        Cat("is ", config.data.sequence_length, ", and the CI function takes ",
            spec.ci.attention->max_positions, " positions"));
  }
  spec.sigmoid = config.sigmoid;
  spec.sampling = config.sampling;
  spec.has_delta = config.use_delta;
  return spec;
}

}  // namespace spar::models
