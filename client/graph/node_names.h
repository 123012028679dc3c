// L5. Nodes in words. Names hold text of models and prompts as it is: escape
// them for where they go.
#pragma once

#include <string>
#include <string_view>

#include "client/graph/graph_view.h"

namespace spar::client {

// "q", "down", "head", "embed", ...: for labels.
std::string_view PartName(v1::AttributionPart part);

// As the checkpoint names it: "h.1.mlp.down_proj:1672", "h.0.attn#head=2",
// "h.1.mlp.down_proj delta", "embed", and a logit by its token's text.
std::string FullName(const GraphView& view, int node);

// For places with little room: "L1.down:1672", "L0.head:2", "L1.down.delta".
std::string ShortName(const GraphView& view, int node);

// The node that `name` means: a full name, or a logit's token, "@" and its
// position, for example "h.1.mlp.down_proj:1672@4". kNotFound NODE_NOT_FOUND.
absl::StatusOr<int> FindNode(const GraphView& view, std::string_view name);

// The prompt as one string.
std::string PromptText(const v1::AttributionHeader& header);

}  // namespace spar::client
