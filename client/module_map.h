// L5. S of a decomposition as a small map: a line for each module, or for each
// position where units are nodes.
#pragma once

#include <string>

#include "client/style.h"

#include "spar/v1/explanation_service.pb.h"

namespace spar::client {

// How many of `units` each line holds, and which: subcomponents by number, then
// "delta". Units of a line follow each other. Lines without any are left out.
// Empty when there is no unit. Lines end with newlines.
std::string FormatModuleMap(
    const google::protobuf::RepeatedPtrField<v1::Unit>& units,
    const google::protobuf::RepeatedPtrField<v1::Token>& prompt,
    const Style& style);

}  // namespace spar::client
