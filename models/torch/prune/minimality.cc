#include "models/torch/prune/minimality.h"

#include <cmath>
#include <map>
#include <numbers>
#include <utility>
#include <vector>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Subcomponents that have a node in one row, and the entries of each that have
// none.
struct Groups {
  std::vector<int64_t> of_node = {};
  std::vector<float> idle = {};
};

Groups GroupsOf(const PromptNodes& nodes) {
  Groups groups;
  for (size_t m = 0; m + 1 < nodes.begin.size(); ++m) {
    std::map<int32_t, int64_t> of_component;
    for (int64_t n = nodes.begin[m]; n < nodes.begin[m + 1]; ++n) {
      const auto [group, is_new] = of_component.try_emplace(
          nodes.component[n], static_cast<int64_t>(groups.idle.size()));
      if (is_new) groups.idle.push_back(static_cast<float>(nodes.length));
      groups.idle[group->second] -= 1;
      groups.of_node.push_back(group->second);
    }
  }
  return groups;
}

}  // namespace

Minimality::Minimality(const PruneNorm& norm,
                       std::span<const PruneRow> rows,
                       const PruneSubject& subject)
    : norm_(norm), num_rows_(static_cast<int64_t>(rows.size())) {
  int64_t components = 0;
  for (const ComponentModule& module : subject.decomposed->modules()) {
    components += module.module.num_components;
  }
  std::vector<int64_t> row, group, row_of_group;
  std::vector<float> share, idle, idle_of_group, groupless, lengths;
  for (int64_t r = 0; r < num_rows_; ++r) {
    const PromptNodes& nodes = *rows[r].nodes;
    const float length = static_cast<float>(nodes.length);
    row.insert(row.end(), static_cast<size_t>(nodes.num_nodes()), r);
    share.push_back(norm.per_position ? 1 / length : 1);
    lengths.push_back(length);
    if (norm.beta == 0) {
      idle.push_back(
          static_cast<float>(nodes.length * components - nodes.num_nodes()));
      continue;
    }
    const Groups groups = GroupsOf(nodes);
    const int64_t first = static_cast<int64_t>(row_of_group.size());
    for (const int64_t g : groups.of_node) group.push_back(first + g);
    row_of_group.insert(row_of_group.end(), groups.idle.size(), r);
    idle_of_group.insert(idle_of_group.end(), groups.idle.begin(),
                         groups.idle.end());
    groupless.push_back(static_cast<float>(
        components - static_cast<int64_t>(groups.idle.size())));
  }
  const at::Device device = subject.decomposed->decoder().device;
  const auto longs = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::dtype(at::kLong)).to(device);
  };
  const auto floats = [&](const std::vector<float>& values) {
    return at::tensor(values, at::dtype(at::kFloat)).to(device);
  };
  row_ = longs(row);
  share_ = floats(share);
  if (norm.beta == 0) {
    idle_ = floats(idle);
  } else {
    group_ = longs(group);
    row_of_group_ = longs(row_of_group);
    idle_of_group_ = floats(idle_of_group);
    groupless_ = floats(groupless);
    lengths_ = floats(lengths);
  }
}

at::Tensor Minimality::SumByRow(const at::Tensor& of_nodes) const {
  return at::zeros({num_rows_}, of_nodes.options())
      .index_add(0, row_, of_nodes);
}

at::Tensor Minimality::Spread(const at::Tensor& of_rows) const {
  return of_rows.index_select(0, row_);
}

Minimality::Price Minimality::Of(const at::Tensor& h, double power) const {
  const at::Tensor raised = h.clamp_min(0) + norm_.epsilon;
  const at::Tensor lower = raised.pow(power - 1);
  const at::Tensor terms = lower * raised;
  const at::Tensor slope = lower.masked_fill(h < 0, 0);  // clamped there
  const double idle = std::pow(norm_.epsilon, power);    // of one dead entry
  if (norm_.beta == 0) {
    return {.of_row = (SumByRow(terms) + idle_ * idle) * share_,
            .slopes = slope * (Spread(share_) * power)};
  }
  // S_c and what it costs, of the subcomponents that have nodes.
  const at::Tensor sums = (idle_of_group_ * idle).index_add(0, group_, terms);
  const at::Tensor logs = sums.log1p() / std::numbers::ln2;
  const at::Tensor costs = sums * (1 + norm_.beta * logs);
  const at::Tensor slopes =
      1 + norm_.beta * (logs + sums / ((1 + sums) * std::numbers::ln2));
  // Of those that have none.
  const at::Tensor dead = lengths_ * idle;
  const at::Tensor rest =
      groupless_ * dead * (1 + norm_.beta * dead.log1p() / std::numbers::ln2);
  return {.of_row = rest.index_add(0, row_of_group_, costs) * share_,
          .slopes = slope * slopes.index_select(0, group_) *
                    (Spread(share_) * power)};
}

}  // namespace spar::models
