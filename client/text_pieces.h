// L5. Texts too long for one prompt, in pieces.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace spar::client {

// `text` in pieces of at most `most_bytes`, cut behind the last newline that
// fits, else behind the last space, else between characters. Pieces of space
// alone are left out.
std::vector<std::string> TextPieces(std::string_view text, size_t most_bytes);

}  // namespace spar::client
