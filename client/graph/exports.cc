#include "client/graph/exports.h"

#include <iterator>

#include "client/graph/graph_file.h"

namespace spar::client {
namespace {

struct Entry {
  std::string_view name = {};
  GraphFormat format = GraphFormat::kJson;
};

constexpr Entry kFormats[] = {
    {"pb", GraphFormat::kProtobuf},
    {"json", GraphFormat::kJson},
    {"neuronpedia", GraphFormat::kNeuronpedia},
    {"circuit-tracer", GraphFormat::kCircuitTracer},
    {"spd", GraphFormat::kSpd},
    {"dot", GraphFormat::kDot},
};

}  // namespace

std::optional<GraphFormat> ParseGraphFormat(std::string_view name) {
  for (const Entry& entry : kFormats) {
    if (entry.name == name) return entry.format;
  }
  return std::nullopt;
}

std::string GraphFormatNames() {
  std::string names;
  for (const Entry& entry : kFormats) {
    if (!names.empty()) names += ", ";
    names += entry.name;
  }
  return names;
}

absl::StatusOr<std::string> Export(const GraphView& view, GraphFormat format) {
  switch (format) {
    case GraphFormat::kProtobuf:
      return GraphToProtobuf(view);
    case GraphFormat::kJson:
      return GraphToJson(view);
    case GraphFormat::kNeuronpedia:
      return GraphToNeuronpedia(view);
    case GraphFormat::kCircuitTracer:
      return GraphToCircuitTracer(view);
    case GraphFormat::kSpd:
      return GraphToSpd(view);
    case GraphFormat::kDot:
      return GraphToDot(view);
  }
  return absl::InvalidArgumentError("unknown format");
}

}  // namespace spar::client
