// L5. What a terminal can show: colour, block characters, columns.
#pragma once

#include <string>
#include <string_view>

namespace spar::client {

enum class ColorWhen { kAuto, kAlways, kNever };

// How to write text for one output.
struct Style {
  bool color = false;
  bool unicode = true;
  int columns = 0;  // 0: do not wrap or clip

  // Whether the output is a screen where a line can be rewritten.
  bool live = false;
};

// What the environment says, so that tests can say something else.
struct Surroundings {
  bool is_terminal = false;
  int columns = 0;          // of the terminal; 0 when unknown
  bool no_color = false;    // NO_COLOR is set and not empty
  std::string term = {};    // TERM
  std::string locale = {};  // LC_ALL, else LC_CTYPE, else LANG
};

Surroundings SurroundingsOf(int file_descriptor);

Style StyleFor(const Surroundings& surroundings, ColorWhen when);

enum class Tone {
  kPlain,
  kLit,     // what an explanation keeps
  kDim,     // what it leaves out
  kTarget,  // the token explained
  kGood,
  kDoubtful,
  kBad,
};

// `text` in the colour of `tone`; as it is without colour.
std::string Paint(const Style& style, Tone tone, std::string_view text);

}  // namespace spar::client
