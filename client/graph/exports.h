// L5. Attribution graphs in the formats of other tools, one file each.
//
// What a format has no place for is left out and counted in the file itself.
// Every node has one id, ids and names are the same in every run, and nothing
// is cut off. docs/attribution.md says which field holds what.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/graph/graph_view.h"

namespace spar::client {

enum class GraphFormat {
  kProtobuf,       // "pb": spar.v1.AttributionGraph, loss-free
  kJson,           // "json": the same as protobuf's JSON, loss-free
  kNeuronpedia,    // "neuronpedia": its graph schema 1.0.0
  kCircuitTracer,  // "circuit-tracer": the file of its viewer
  kSpd,            // "spd": the graph of the spd app
  kDot,            // "dot": Graphviz
};

// Nothing for an unknown name.
std::optional<GraphFormat> ParseGraphFormat(std::string_view name);
// "pb, json, ...".
std::string GraphFormatNames();

absl::StatusOr<std::string> Export(const GraphView& view, GraphFormat format);

std::string GraphToNeuronpedia(const GraphView& view);
std::string GraphToCircuitTracer(const GraphView& view);
std::string GraphToSpd(const GraphView& view);
std::string GraphToDot(const GraphView& view);

}  // namespace spar::client
