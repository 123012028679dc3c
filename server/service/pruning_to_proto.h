// L5. Pruning as the messages of its stream.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/decomposition_spec.h"
#include "models/prune.h"
#include "server/search/explanation.h"
#include "server/service/model_registry.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::service {

// What the messages of one call share.
struct PruningContext {
  const ServedModel* model = nullptr;  // outlives the call, as the next
  const models::DecompositionInfo* decomposition = nullptr;
  models::PruneRequest request = {};  // defaults filled in
};

void ToProto(const PruningContext& context, v1::PruneHeader* to);

// Without `elapsed` and `crystallized_row_count`.
void ToProto(const PruningContext& context,
             std::span<const models::PruneState> states,
             v1::PruneProgress* to);

void ToProto(const PruningContext& context,
             const models::PrunedRow& row,
             v1::PrunedRow* to);

// A row as the curves have it.
struct PrunedPoint {
  int prompt = 0;
  int coefficient = 0;
  int64_t num_nodes = 0;
  models::PruneReading rounded = {};
  std::optional<int64_t> crystallized = std::nullopt;  // nodes after the search
};

// Size against loss of each prompt that has points. Without `elapsed`.
void ToProto(const PruningContext& context,
             std::vector<PrunedPoint> points,
             v1::PruneSummary* to);

}  // namespace spar::service
