// L1. The tensors of a decomposition: their names, their shapes, and the orders
// in which CI functions take modules. docs/formats.md says the same in words.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/decomposition_spec.h"

namespace spar::models {

// "components.<module>.V", [C, d_in], and "components.<module>.U", [C, d_out].
std::string VName(const DecomposedModule& module);
std::string UName(const DecomposedModule& module);

// Indices of the modules in the order of their names, by bytes: the order in
// which kGlobalSharedMlp and kGlobalSharedTransformer take them.
std::vector<int> ModulesByName(const DecompositionSpec& spec);

// What a module feeds to a global CI function: its input's width, or C for the
// embedding, which enters with its activations.
int64_t GlobalInputWidth(const DecomposedModule& module);

// Name to shape of every tensor of the folder.
std::map<std::string, std::vector<int64_t>> DecompositionTensors(
    const DecompositionSpec& spec);

}  // namespace spar::models
