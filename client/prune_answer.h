// L5. All that a pruning came to, put together from the messages of its stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "spar/v1/pruning_service.pb.h"

namespace spar::client {

// Rows are numbered prompt by prompt, in each by coefficient, from 0.
struct PruneAnswer {
  v1::PruneHeader header = {};
  std::vector<v1::PrunedRow> rows = {};
  std::map<int32_t, v1::PrunedExplanation> explanations = {};  // by row
  v1::PruneSummary summary = {};

  int RowOf(int prompt_index, int coefficient_index) const {
    return prompt_index * header.coefficients_size() + coefficient_index;
  }
};

// Not thread-safe.
class PruneReader {
 public:
  // kDataLoss where the messages do not fit each other: no header or a second
  // one, a row or an explanation that the header does not have or that came
  // before, columns of different lengths, anything after the summary.
  absl::Status Add(const v1::PruneResponse& message);
  // kDataLoss unless everything has come: each row, explanations of all rows or
  // of none, and the summary with a curve for each prompt.
  absl::StatusOr<PruneAnswer> Finish() &&;

 private:
  absl::Status AddHeader(const v1::PruneHeader& header);
  absl::Status AddRow(const v1::PrunedRow& row);
  absl::Status CheckNodes(const v1::PrunedRow& row) const;
  absl::Status AddSummary(const v1::PruneSummary& summary);
  // kDataLoss when the header has no such row.
  absl::StatusOr<int> RowOf(int prompt_index, int coefficient_index) const;

  PruneAnswer answer_;
  bool started_ = false;
  bool ended_ = false;
  std::vector<bool> has_row_ = {};
  size_t num_rows_ = 0;
};

}  // namespace spar::client
