// L5. What S counts: the schemes by the words of the command line and of
// certificates, and what they have in common.
#pragma once

#include <map>
#include <string>

#include "spar/v1/explanation_service.pb.h"

namespace spar::client {

// "head", "neuron", "head+neuron", "subcomponent", "subcomponent+delta",
// "node", "node+delta".
const std::map<std::string, v1::UnitScheme>& UnitSchemeWords();

// Units of different spaces are numbered differently (docs/certificate.md).
enum class UnitSpace { kHeadsAndNeurons, kSubcomponents, kNodes };

// The space that a scheme belongs to; UNSPECIFIED stands for its default.
UnitSpace SpaceOf(v1::UnitScheme scheme);

// Whether it counts Deltas.
bool HasDeltas(v1::UnitScheme scheme);

}  // namespace spar::client
