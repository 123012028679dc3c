// L1. The sizes of the model and of the decomposition in "Interpreting Language
// Model Parameters", for tests and measurements at that size.
#pragma once

#include <map>
#include <vector>

#include "models/decoder_spec.h"
#include "models/decomposition_spec.h"

namespace spar::models {

// 67 M parameters in 4 layers; without names of tensors.
DecoderSpec PaperTarget();

// Subcomponents of every decomposed matrix of a layer: 9,728 of a layer, 38,912
// in all.
std::map<ModuleSite, int> PaperComponents();

// The decomposed matrices of a target of this size, with so many subcomponents.
std::vector<DecomposedModule> PaperModules(const DecoderSpec& target);

// The share of a layer's subcomponents that is alive at a position: the
// published mean L0 over the layer's count.
double PaperAliveShare(int layer);

}  // namespace spar::models
