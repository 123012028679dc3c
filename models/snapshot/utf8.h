// L1. Whether bytes are UTF-8.
#pragma once

#include <string_view>

namespace spar::models {

// Without overlong forms, surrogates, or code points beyond U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace spar::models
