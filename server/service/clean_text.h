// L5. Text that protobuf accepts: valid UTF-8 of bounded size.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spar::service {

// `text` with every byte that is not part of valid UTF-8 as '?', cut at a
// character's end to at most `max_bytes` ("..." then ends it).
std::string CleanText(std::string_view text, size_t max_bytes);

}  // namespace spar::service
