// L5. The parts that Neuronpedia's and circuit-tracer's files share.
#pragma once

#include <string>
#include <vector>

#include "client/graph/graph_view.h"
#include "client/graph/json_writer.h"
#include "client/graph/traced_nodes.h"

namespace spar::client {

// "prompt_tokens": [...], "prompt": "...".
void WritePrompt(const v1::AttributionHeader& header, JsonWriter& json);
// "qParams": {...}: nothing pinned, nothing clicked.
void WriteQueryParameters(JsonWriter& json);
// Of node `number`, into its object: "node_id" to "feature_type", where it is.
void WriteNodePlace(const TracedNode& node, JsonWriter& json);
// "jsNodeId" to "activation": what it is called and how much it does. Logits
// have no influence, and only features an activation.
void WriteNodeMeaning(const GraphView& view,
                      const TracedNode& node,
                      int number,
                      JsonWriter& json);
// "links": [{source, target, weight}], by target, then source.
void WriteLinks(const GraphView& view,
                const std::vector<TracedNode>& nodes,
                JsonWriter& json);
// What a reader should know and the formats have no field for: digests, dtype,
// norm, run, what was left out, and how well the graph keeps its identities.
std::string Provenance(const GraphView& view);

}  // namespace spar::client
