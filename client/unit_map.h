// L5. S as a small map: one line a layer, heads as cells, neurons as bars.
#pragma once

#include <string>

#include "client/style.h"

#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {

// Every layer of the model from 0, with the names of the kept units; columns
// of a kind that the scheme does not count are left out. `unit_count` tells
// the scheme. Empty when there is no unit. Lines end with newlines.
std::string FormatUnitMap(
    const google::protobuf::RepeatedPtrField<v1::Unit>& units,
    int unit_count,
    const v1::Model& model,
    const Style& style);

}  // namespace spar::client
