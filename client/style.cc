#include "client/style.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kNarrowest = 40;

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool SaysUtf8(std::string locale) {
  std::transform(locale.begin(), locale.end(), locale.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return locale.find("utf-8") != std::string::npos ||
         locale.find("utf8") != std::string::npos;
}

const char* CodeOf(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kLit:
      return "1;36";
    case Tone::kDim:
      return "2";
    case Tone::kTarget:
      return "1;35";
    case Tone::kGood:
      return "1;32";
    case Tone::kDoubtful:
      return "1;33";
    case Tone::kBad:
      return "1;31";
  }
  return "";
}

}  // namespace

Surroundings SurroundingsOf(int file_descriptor) {
  Surroundings found;
  found.is_terminal = isatty(file_descriptor) == 1;
  winsize size = {};
  if (found.is_terminal && ioctl(file_descriptor, TIOCGWINSZ, &size) == 0) {
    found.columns = size.ws_col;
  }
  found.no_color = !Environment("NO_COLOR").empty();
  found.term = Environment("TERM");
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    found.locale = Environment(name);
    if (!found.locale.empty()) break;
  }
  return found;
}

Style StyleFor(const Surroundings& surroundings, ColorWhen when) {
  const bool capable = surroundings.is_terminal && surroundings.term != "dumb";
  Style style;
  style.live = capable;
  style.unicode = SaysUtf8(surroundings.locale);
  style.color = when == ColorWhen::kAlways ||
                (when == ColorWhen::kAuto && capable && !surroundings.no_color);
  if (surroundings.is_terminal && surroundings.columns > 0) {
    style.columns = std::max(surroundings.columns, kNarrowest);
  }
  return style;
}

std::string Paint(const Style& style, Tone tone, std::string_view text) {
  if (!style.color || tone == Tone::kPlain || text.empty()) {
    return std::string(text);
  }
  return base::Cat("\x1b[", CodeOf(tone), "m", text, "\x1b[0m");
}

}  // namespace spar::client
