// L5. An evaluation as the messages of its stream.
#pragma once

#include <deque>

#include "models/evaluation.h"
#include "server/service/evaluation_from_proto.h"
#include "server/service/model_registry.h"
#include "spar/v1/evaluation.pb.h"

namespace spar::service {

// What the messages of one call share.
struct EvaluationContext {
  ServedDecomposition decomposition = {};
  EvaluationQuestion question = {};
};

void ToProto(const EvaluationContext& context, v1::EvaluationHeader* to);

// Without `elapsed`.
void ToProto(const models::EvaluationState& state, v1::EvaluationProgress* to);

// Appends the messages of one part.
void ToProto(const EvaluationContext& context,
             const models::EvaluationPart& part,
             std::deque<v1::EvaluateResponse>& messages);

}  // namespace spar::service
