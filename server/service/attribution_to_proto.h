// L5. An attribution graph as the messages of its stream.
#pragma once

#include <chrono>
#include <memory>

#include "server/search/attribution.h"
#include "server/service/model_registry.h"
#include "spar/v1/attribution.pb.h"

namespace spar::service {

// The header, the nodes, the edges, the summary: each message is made when its
// turn comes, none is larger than 4 MiB. Not thread-safe.
class AttributionMessages {
 public:
  // `model` outlives it. `options` are the request's.
  AttributionMessages(std::shared_ptr<const search::Attribution> graph,
                      const search::AttributionQuestion& question,
                      const ServedModel* model,
                      std::chrono::system_clock::time_point now);

  // Fills in the next message; true when it is the last.
  bool Next(v1::AttributeResponse* to);

 private:
  enum class Stage { kHeader, kNodes, kEdges, kSummary };

  void SetNodes(v1::AttributionNodes* to);
  void SetEdges(v1::AttributionEdges* to);
  void SetSummary(v1::AttributionSummary* to) const;
  bool NodesLeft() const;
  bool EdgesLeft() const;

  const std::shared_ptr<const search::Attribution> graph_;
  const ServedModel* const model_;
  const std::vector<models::TokenId> tokens_;
  v1::AttributionHeader header_;
  Stage stage_ = Stage::kHeader;
  size_t next_node_ = 0;
  int next_target_ = 0;     // of the edges
  size_t next_source_ = 0;  // of that target's edges
};

}  // namespace spar::service
