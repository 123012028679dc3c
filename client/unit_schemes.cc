#include "client/unit_schemes.h"

namespace spar::client {

const std::map<std::string, v1::UnitScheme>& UnitSchemeWords() {
  static const std::map<std::string, v1::UnitScheme> kWords = {
      {"head", v1::UNIT_SCHEME_HEAD},
      {"neuron", v1::UNIT_SCHEME_NEURON},
      {"head+neuron", v1::UNIT_SCHEME_HEAD_AND_NEURON},
      {"subcomponent", v1::UNIT_SCHEME_SUBCOMPONENT},
      {"subcomponent+delta", v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA},
      {"node", v1::UNIT_SCHEME_NODE},
      {"node+delta", v1::UNIT_SCHEME_NODE_AND_DELTA}};
  return kWords;
}

UnitSpace SpaceOf(v1::UnitScheme scheme) {
  switch (scheme) {
    case v1::UNIT_SCHEME_SUBCOMPONENT:
    case v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA:
      return UnitSpace::kSubcomponents;
    case v1::UNIT_SCHEME_NODE:
    case v1::UNIT_SCHEME_NODE_AND_DELTA:
      return UnitSpace::kNodes;
    default:
      return UnitSpace::kHeadsAndNeurons;
  }
}

bool HasDeltas(v1::UnitScheme scheme) {
  return scheme == v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA ||
         scheme == v1::UNIT_SCHEME_NODE_AND_DELTA;
}

}  // namespace spar::client
