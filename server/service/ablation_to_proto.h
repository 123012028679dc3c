// L5. Ablations to the wire.
#pragma once

#include <span>
#include <vector>

#include "models/ablation.h"
#include "models/decomposition_spec.h"
#include "server/service/model_registry.h"
#include "spar/v1/ablation_service.pb.h"

namespace spar::service {

// What the messages of one ablation share. All that it points to outlives it.
struct AblationContext {
  const ServedModel* model = nullptr;
  const models::DecompositionSpec* decomposition = nullptr;  // null: none
  models::AblationRequest request = {};
};

void ToProto(const AblationContext& context,
             std::span<const models::AblatedPosition> baseline,
             int64_t num_rows,
             v1::AblationStart* to);

void ToProto(const AblationContext& context,
             std::span<const models::AblationRow> rows,
             v1::AblationRows* to);

}  // namespace spar::service
