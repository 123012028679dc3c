#include "client/share_bar.h"

#include <algorithm>

#include "client/text.h"

namespace spar::client {

std::string ShareBar(double share, int columns, const Style& style) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int parts = style.unicode ? 8 : 1;
  const double eighths = std::clamp(share, 0.0, 1.0) * columns * parts;
  int filled = static_cast<int>(eighths + 0.5);
  if (share > 0) filled = std::max(filled, 1);
  std::string bar;
  for (int i = 0; i < filled / parts; ++i) bar += style.unicode ? "█" : "#";
  bar += kEighths[filled % parts];
  return Padded(bar, columns);
}

}  // namespace spar::client
