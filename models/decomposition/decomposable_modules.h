// L1. The modules of a decoder that a decomposition may factorise.
#pragma once

#include <vector>

#include "models/decoder_spec.h"
#include "models/decomposition_spec.h"

namespace spar::models {

// Every such module in Spar's order, named and sized, without subcomponents.
// Where the checkpoint stores q, k and v in one tensor, that is one module.
std::vector<DecomposedModule> DecomposableModules(const DecoderSpec& spec);

// The whole weight of a module of DecomposableModules(spec), [d_out, d_in], and
// its bias, [d_out] or absent. The embedding's is stored as [vocab, width] and
// read as a Linear from one-hot tokens, [width, vocab].
Affine WholeWeight(const DecoderSpec& spec, const DecomposedModule& module);

// Numbers the subcomponents of modules in order: sets first_component.
void NumberComponents(std::vector<DecomposedModule>& modules);

}  // namespace spar::models
