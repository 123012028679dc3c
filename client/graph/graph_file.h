// L5. Saved graphs: the whole message, as protobuf or as JSON.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/graph/graph_view.h"

namespace spar::client {

// Both forms hold every number to the last bit (but JSON not the sign of a
// zero); the same graph gives the same bytes. JSON is protobuf's own mapping,
// one line.
absl::StatusOr<std::string> GraphToProtobuf(const GraphView& view);
absl::StatusOr<std::string> GraphToJson(const GraphView& view);

// Reads either. kInvalidArgument BAD_GRAPH when it is neither, or as
// GraphView::Make.
absl::StatusOr<GraphView> GraphFromBytes(std::string_view bytes);

}  // namespace spar::client
