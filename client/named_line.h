// L5. A line of a report: what it tells, then the value.
#pragma once

#include <string>
#include <string_view>

#include "client/style.h"

namespace spar::client {

inline constexpr int kNameColumns = 11;  // where values begin

std::string NamedLine(std::string_view name,
                      std::string_view value,
                      const Style& style);

}  // namespace spar::client
