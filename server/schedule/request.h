// L2. What travels to the batcher and back: plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "models/backend.h"
#include "models/row.h"

namespace spar::schedule {

using ClientId = int64_t;  // who asks: a search, or a passing caller
using Ticket = int64_t;    // names a request; given back with its reply

// Which rows may share a device batch with a request's own.
enum class Sharing {
  kShared,  // anyone's
  kApart,   // only the request's own: the same numbers whoever else is there
  kAlone,   // none: one row a batch, the canonical path of certificates
};

// What a decomposition says of one prompt: Backend::Importances.
struct ImportanceQuestion {
  std::string decomposition = {};
  std::vector<models::TokenId> tokens = {};
};

// One round of one client: rows, gradient rows, or importances; one of them.
// Gradient rows are always kApart.
struct Request {
  ClientId client = 0;
  Ticket ticket = 0;
  Sharing sharing = Sharing::kShared;
  std::vector<models::Row> rows = {};
  std::vector<models::GradientRow> gradient_rows = {};
  std::optional<ImportanceQuestion> importances = std::nullopt;
};

// One result per row in order, or the error of the first row that failed.
struct Reply {
  absl::Status status = absl::OkStatus();
  std::vector<models::RowResult> results = {};
  std::vector<models::RowGradient> gradients = {};
  models::PromptImportances importances = {};
};

// Other work for the device's thread: one prediction, one exact row.
using Task = std::function<void(models::Backend&)>;

struct BatchCounters {
  int64_t batches = 0;
  int64_t rows = 0;
  int64_t flushed_full = 0;    // no further row could join
  int64_t flushed_window = 0;  // the oldest row had waited long enough
  int64_t flushed_idle = 0;    // nothing else could arrive
};

}  // namespace spar::schedule
