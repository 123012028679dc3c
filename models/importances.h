// L1. What a decomposition says about prompts: causal importances and
// subcomponent activations, sparse; and what it is, for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/decomposition_spec.h"

namespace spar::models {

struct ImportanceOptions {
  // Subcomponents whose causal importance is above this are kept.
  double threshold = 0;
};

// One module over one prompt, ascending by position, then subcomponent:
// position t's are [begin[t], begin[t + 1]).
struct ModuleImportances {
  std::vector<int64_t> begin = {0};     // [positions + 1]
  std::vector<int32_t> component = {};  // within the module
  std::vector<float> importance = {};   // g, after the lower sigmoid
  std::vector<float> activation = {};   // a = V x, without any norm of U

  friend bool operator==(const ModuleImportances&,
                         const ModuleImportances&) = default;
};

struct PromptImportances {
  std::vector<ModuleImportances> modules = {};  // as DecompositionSpec::modules

  friend bool operator==(const PromptImportances&,
                         const PromptImportances&) = default;
};

// What loading found out about one module. Norms are Frobenius.
struct ModuleMeasures {
  double weight_norm = 0;
  double delta_norm = 0;
  std::vector<float> component_norms =
      {};  // |U_c| |V_c|, of the rank-one matrix

  friend bool operator==(const ModuleMeasures&,
                         const ModuleMeasures&) = default;
};

// A decomposition that is resident beside its model.
struct DecompositionInfo {
  std::string name = {};    // among the model's decompositions
  std::string digest = {};  // 64 hex digits
  DecompositionSpec spec = {};
  std::vector<ModuleMeasures> modules = {};  // as spec.modules
  std::string dtype = {};                    // of storage
  int64_t memory_bytes = 0;                  // on the device
  // With every mask and Delta at 1 each module is the target's: the largest
  // difference in a module's output on a probe, over its largest entry.
  double identity_error = 0;

  friend bool operator==(const DecompositionInfo&,
                         const DecompositionInfo&) = default;
};

}  // namespace spar::models
