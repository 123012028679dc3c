// L5. Saved graphs side by side: messages, and text for a terminal.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "client/graph/graph_view.h"
#include "client/style.h"

#include "spar/v1/attribution_comparison.pb.h"

namespace spar::client {

// kInvalidArgument DIFFERENT_MODELS unless both are of one model and
// decomposition.
absl::StatusOr<v1::AttributionComparison> CompareGraphs(const GraphView& left,
                                                        const GraphView& right);

// What differs most, `num_lines` lines of each kind.
std::string FormatComparison(const v1::AttributionComparison& comparison,
                             const GraphView& left,
                             const GraphView& right,
                             int num_lines,
                             const Style& style);

// At least one graph; effects are on each graph's own target. kInvalidArgument
// DIFFERENT_MODELS.
absl::StatusOr<v1::AttributionAggregate> AggregateGraphs(
    std::span<const GraphView> graphs);

std::string FormatAggregate(const v1::AttributionAggregate& aggregate,
                            int num_lines,
                            const Style& style);

}  // namespace spar::client
