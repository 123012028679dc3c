// L1. Refusals of options of a request that are out of range.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "base/status.h"

namespace spar::models {

// kInvalidArgument OPTION_OUT_OF_RANGE.
inline absl::Status OptionOutOfRange(std::string_view field,
                                     const std::string& value,
                                     const std::string& want) {
  return base::InvalidArgument("OPTION_OUT_OF_RANGE", field,
                               base::Cat(field, " is ", value, ": want ", want),
                               {{"value", value}, {"want", want}});
}

// OPTION_OUT_OF_RANGE unless in [low, high]; NaN is outside.
template <typename T>
absl::Status CheckWithin(T value, T low, T high, std::string_view field) {
  if (value >= low && value <= high) return absl::OkStatus();
  return OptionOutOfRange(field, base::Cat(value),
                          base::Cat("[", low, ", ", high, "]"));
}

}  // namespace spar::models
