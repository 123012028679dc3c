#include "client/graph/text_columns.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kRowLabelColumns = 11;

}  // namespace

std::string Value(double value) {
  char buffer[40];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-3 && size < 1e5);
  std::snprintf(buffer, sizeof buffer, plain ? "%+.4g" : "%+.2e", value);
  return buffer;
}

std::string LabeledLine(std::string_view label,
                        std::string_view value,
                        const Style& style) {
  return base::Cat(Paint(style, Tone::kDim, Padded(label, kRowLabelColumns)),
                   value, "\n");
}

}  // namespace spar::client
