// L5. The line that tells how a search is going, rewritten in place.
#pragma once

#include <cstdio>
#include <string>

#include "client/style.h"

#include "spar/v1/explanation_service.pb.h"

namespace spar::client {

// Phase, margin, |S|, |T|, rows, seconds; clipped to the screen.
std::string FormatProgress(const v1::CrystallizeEvent& event,
                           const Style& style);

// Writes to `out` (lent). On a screen each event replaces the one before, and
// the destructor clears the line; elsewhere each event is a line of its own.
class ProgressLine {
 public:
  ProgressLine(std::FILE* out, const Style& style);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const v1::CrystallizeEvent& event);
  void Clear();

 private:
  std::FILE* const out_;
  const Style style_;
  bool dirty_ = false;
};

}  // namespace spar::client
