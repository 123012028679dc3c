// L5. A share as a bar of text.
#pragma once

#include <string>

#include "client/style.h"

namespace spar::client {

// A bar of a share in [0, 1], padded to `columns`; the least that can be seen
// of what is not 0.
std::string ShareBar(double share, int columns, const Style& style);

}  // namespace spar::client
