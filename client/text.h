// L5. Strings for people: safe to print, of known width, wrapped; numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/duration.pb.h>

#include "base/text.h"

namespace spar::client {

// `text` with everything a terminal could act on made visible: control
// characters and bidirectional marks as \n, \t, \x1b or \u202e; bytes that are
// no UTF-8 as \xNN. Backslashes stay: the result is for reading, not parsing.
std::string Escaped(std::string_view text);

// Bytes of the character that `text` (not empty) starts with; 0 where that is
// no UTF-8.
size_t Utf8Length(std::string_view text);

// Columns that escaped text takes: two for wide East Asian characters and
// emoji, none for combining marks.
int Width(std::string_view text);

// At most `columns` wide; what is cut off leaves `ellipsis` behind.
std::string Clipped(std::string_view text,
                    int columns,
                    std::string_view ellipsis);

// `text` and spaces up to `columns`.
std::string Padded(std::string_view text, int columns);

// Spaces and `text`, up to `columns`.
std::string RightAligned(std::string_view text, int columns);

// A piece of a line: what is printed, and the columns that takes (escape
// sequences take none).
struct Piece {
  std::string text = {};
  int columns = 0;
  bool space_before = false;  // a space, or the line's end, goes before it
};

// Pieces on as few lines as fit into `columns` (0: one line), each but the
// first behind `indent` spaces. Lines end without a newline. The first line
// starts at column `indent` already.
std::string Wrapped(const std::vector<Piece>& pieces, int indent, int columns);

using base::Printed;

double SecondsOf(const google::protobuf::Duration& duration);

std::string WithCommas(int64_t number);  // 2,064
std::string Signed(double logits);       // +3.214
std::string Percent(double share);       // 12 %, 1.3 %, 0.29 %, < 0.01 %
std::string Seconds(double seconds);     // 0.41 s, 75 s
std::string Seconds(const google::protobuf::Duration& duration);  // likewise
std::string Quoted(std::string_view text);  // "capital", escaped

}  // namespace spar::client
