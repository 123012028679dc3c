#include "client/graph/text_columns.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kLabelColumns = 11;

}  // namespace

std::string Value(double value) {
  char buffer[40];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-3 && size < 1e5);
  std::snprintf(buffer, sizeof buffer, plain ? "%+.4g" : "%+.2e", value);
  return buffer;
}

std::string RightAligned(std::string_view text, int columns) {
  const int missing = std::max(0, columns - Width(text));
  return std::string(static_cast<size_t>(missing), ' ') + std::string(text);
}

std::string LabeledLine(std::string_view label,
                        std::string_view value,
                        const Style& style) {
  return base::Cat(Paint(style, Tone::kDim, Padded(label, kLabelColumns)),
                   value, "\n");
}

}  // namespace spar::client
