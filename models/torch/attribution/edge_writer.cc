#include "models/torch/attribution/edge_writer.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace spar::models {

EdgeWriter::EdgeWriter(const AttributionRequest& request,
                       std::span<const AttributionNode> nodes,
                       AttributionSink& sink)
    : filter_(request.filter),
      importance_factor_(request.importance_factor),
      nodes_(nodes),
      sink_(sink) {}

void EdgeWriter::Drop(double value, int64_t& count) {
  ++count;
  summary_.dropped_magnitude += std::abs(value);
}

void EdgeWriter::KeepLargest() {
  const auto limit = static_cast<size_t>(filter_.max_per_target);
  if (filter_.max_per_target <= 0 || candidates_.size() <= limit) return;
  const auto stronger = [](const Candidate& a, const Candidate& b) {
    const double x = std::abs(a.value), y = std::abs(b.value);
    return x != y ? x > y : a.source < b.source;
  };
  const auto cut = candidates_.begin() + static_cast<int64_t>(limit);
  std::nth_element(candidates_.begin(), cut, candidates_.end(), stronger);
  for (auto dropped = cut; dropped != candidates_.end(); ++dropped) {
    Drop(dropped->value, summary_.edges_cut);
  }
  candidates_.erase(cut, candidates_.end());
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) {
              return a.source < b.source;
            });
}

absl::Status EdgeWriter::OnTarget(int32_t target_site,
                                  int32_t target,
                                  std::span<const IncomingSpan> from) {
  candidates_.clear();
  double total = 0;
  for (const IncomingSpan& span : from) {
    for (size_t i = 0; i < span.values.size(); ++i) {
      const int32_t source = span.first_source + static_cast<int32_t>(i);
      double value = span.values[i];
      if (importance_factor_ &&
          nodes_[source].kind == NodeKind::kSubcomponent) {
        value *= nodes_[source].importance;
      }
      total += std::abs(value);
      const bool zero = filter_.without_zeros && value == 0;
      if (zero || std::abs(value) < filter_.min_magnitude) {
        Drop(value, summary_.edges_below);
        continue;
      }
      candidates_.push_back({span.source_site, source, value});
    }
  }
  if (!std::isfinite(total)) {
    const AttributionNode& node = nodes_[target];
    return base::Error(
        absl::StatusCode::kFailedPrecondition,
        base::Cat("the values into node ", target, " at position ",
                  node.position, " are not finite: the run overflows"),
        {.reason = "ATTRIBUTION_NOT_FINITE",
         .metadata = {{"node", base::Cat(target)},
                      {"position", base::Cat(node.position)}}});
  }
  KeepLargest();
  return WriteCandidates(target_site, target);
}

absl::Status EdgeWriter::WriteCandidates(int32_t target_site, int32_t target) {
  std::vector<AttributionEdge>* block = nullptr;
  std::pair<int32_t, int32_t> sites(target_site, -1);
  for (const Candidate& edge : candidates_) {
    if (block == nullptr || edge.site != sites.second) {
      sites.second = edge.site;
      block = &pending_[sites];
    }
    ++summary_.edges;
    summary_.magnitude += std::abs(edge.value);
    block->push_back({target, edge.source, static_cast<float>(edge.value)});
    if (static_cast<int64_t>(block->size()) ==
        AttributionSink::kMaxBlockEdges) {
      RETURN_IF_ERROR(Flush(sites));
    }
  }
  return absl::OkStatus();
}

absl::Status EdgeWriter::Flush(const std::pair<int32_t, int32_t>& sites) {
  EdgeBlock block{.target_site = sites.first, .source_site = sites.second};
  block.edges.swap(pending_[sites]);
  return block.edges.empty() ? absl::OkStatus()
                             : sink_.OnEdges(std::move(block));
}

absl::Status EdgeWriter::EndOfSites() {
  for (auto& [sites, edges] : pending_) RETURN_IF_ERROR(Flush(sites));
  pending_.clear();
  return absl::OkStatus();
}

}  // namespace spar::models
