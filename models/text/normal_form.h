// L1, tokenizers. Unicode normal forms and lower case. Stateless, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spar::models::text {

enum class NormalForm { kC, kD, kKC, kKD };

// "NFC", "NFD", "NFKC" or "NFKD".
std::optional<NormalForm> NormalFormNamed(std::string_view name);

// `text` is valid UTF-8. Linear time, whatever the order of combining marks.
std::string ToNormalForm(NormalForm form, std::string_view text);

// Character by character, as Rust's char::to_lowercase.
std::string ToLower(std::string_view text);

}  // namespace spar::models::text
