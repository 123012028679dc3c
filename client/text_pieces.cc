#include "client/text_pieces.h"

namespace spar::client {
namespace {

size_t CutOf(std::string_view text, size_t most_bytes) {
  if (text.size() <= most_bytes) return text.size();
  const std::string_view fits = text.substr(0, most_bytes);
  for (const char end : {'\n', ' '}) {
    const size_t at = fits.rfind(end);
    if (at != fits.npos) return at + 1;
  }
  size_t cut = most_bytes;  // not within a character
  while (cut > 1 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) {
    --cut;
  }
  return cut;
}

}  // namespace

std::vector<std::string> TextPieces(std::string_view text, size_t most_bytes) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t cut = CutOf(text, most_bytes);
    const std::string_view piece = text.substr(0, cut);
    if (piece.find_first_not_of(" \t\r\n") != piece.npos) {
      pieces.emplace_back(piece);
    }
    text.remove_prefix(cut);
  }
  return pieces;
}

}  // namespace spar::client
