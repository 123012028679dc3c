// L1t. The price of importance of many rows: Note [The price of importance].
#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

#include "models/prune.h"
#include "models/torch/prune/prompt_nodes.h"

namespace spar::models {

// Nodes of the rows lie one after another. Throws c10::Error.
class Minimality {
 public:
  Minimality(const PruneNorm& norm,
             std::span<const PruneRow> rows,
             const PruneSubject& subject);

  struct Price {
    at::Tensor of_row = {};  // I, [rows]
    at::Tensor slopes = {};  // d I / d h, [nodes]
  };
  // `h`: the upper importances of the nodes, [nodes]. `power`: p.
  Price Of(const at::Tensor& h, double power) const;

  // By row, [rows]: the sum of a number of each node.
  at::Tensor SumByRow(const at::Tensor& of_nodes) const;
  // Of each row to each of its nodes.
  at::Tensor Spread(const at::Tensor& of_rows) const;

 private:
  const PruneNorm norm_;
  int64_t num_rows_ = 0;
  at::Tensor row_ = {};    // of each node, long
  at::Tensor share_ = {};  // 1 / N of each row
  // Without beta: entries (subcomponent x position) of each row that are no
  // node.
  at::Tensor idle_ = {};
  // With beta. A group: a subcomponent of a row that has nodes.
  at::Tensor group_ = {};          // of each node, long
  at::Tensor row_of_group_ = {};   // long
  at::Tensor idle_of_group_ = {};  // its entries that are no node
  at::Tensor groupless_ = {};      // of each row: the other subcomponents
  at::Tensor lengths_ = {};        // of each row: positions
};

}  // namespace spar::models
