// L5. The pieces that texts about graphs are set from.
#pragma once

#include <string>
#include <string_view>

#include "client/style.h"

namespace spar::client {

// "+1.234"; with an exponent where that would hide the number.
std::string Value(double value);

// A line that says what it is about.
std::string LabeledLine(std::string_view label,
                        std::string_view value,
                        const Style& style);

}  // namespace spar::client
