// L5. The line that tells how long work is going, rewritten in place.
#pragma once

#include <cstdio>
#include <string>

#include "client/style.h"

#include "spar/v1/evaluation.pb.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/pruning_service.pb.h"
#include "spar/v1/training.pb.h"

namespace spar::client {

// Phase, margin, |S|, |T|, rows, seconds; clipped to the screen.
std::string FormatProgress(const v1::CrystallizeEvent& event,
                           const Style& style);

// Rows ended, steps, mean nodes and loss, searches ended, seconds; clipped too.
std::string FormatProgress(const v1::PruneProgress& progress,
                           const Style& style);

// Phase, share of the steps, seconds; clipped too.
std::string FormatProgress(const v1::EvaluationProgress& progress,
                           const Style& style);

// TrainingText; clipped too.
std::string FormatProgress(const v1::TrainingProgress& progress,
                           const Style& style);

// Writes to `out` (lent). On a screen each line replaces the one before, and
// the destructor clears it; elsewhere lines follow each other.
class ProgressLine {
 public:
  ProgressLine(std::FILE* out, const Style& style);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const std::string& line);
  void Clear();

 private:
  std::FILE* const out_;
  const Style style_;
  bool dirty_ = false;
};

}  // namespace spar::client
