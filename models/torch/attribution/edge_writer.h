// L1t. From all that flows into a target to the edges that a caller wants.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "models/attribution.h"
#include "models/torch/attribution/incoming.h"

namespace spar::models {

// Multiplies by the sources' importances if asked, filters, counts, and hands
// blocks to an AttributionSink. kFailedPrecondition ATTRIBUTION_NOT_FINITE when
// a value is not a number, or infinite: the run's numbers overflowed.
class EdgeWriter final : public IncomingSink {
 public:
  // All arguments outlive this.
  EdgeWriter(const AttributionRequest& request,
             std::span<const AttributionNode> nodes,
             AttributionSink& sink);

  absl::Status OnTarget(int32_t target_site,
                        int32_t target,
                        std::span<const IncomingSpan> from) override;
  absl::Status EndOfSites() override;

  // The counts; no identities.
  const AttributionSummary& summary() const { return summary_; }

 private:
  struct Candidate {
    int32_t site = 0;
    int32_t source = 0;
    double value = 0;
  };

  void Drop(double value, int64_t& count);
  // The candidates of the largest |value|, in their order.
  void KeepLargest();
  absl::Status WriteCandidates(int32_t target_site, int32_t target);
  absl::Status Flush(const std::pair<int32_t, int32_t>& sites);

  const EdgeFilter filter_;
  const bool importance_factor_;
  const std::span<const AttributionNode> nodes_;
  AttributionSink& sink_;
  AttributionSummary summary_;
  std::vector<Candidate> candidates_;  // of the target in work
  // Edges that have not reached the sink, by (target site, source site).
  std::map<std::pair<int32_t, int32_t>, std::vector<AttributionEdge>> pending_;
};

}  // namespace spar::models
