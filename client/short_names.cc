#include "client/short_names.h"

#include <utility>

#include "base/status.h"

namespace spar::client {

void ShortNames::Close() {
  if (left_out_ == 0) return;
  const std::string more = base::Cat("+", left_out_, " more");
  pieces_.push_back({more, Width(more), true});
  left_out_ = 0;
}

void ShortNames::Add(std::optional<std::string_view> group,
                     const std::string& whole,
                     std::string_view end) {
  if (group.has_value() && group_ == group) {
    if (++in_group_ > most_) {
      ++left_out_;
      return;
    }
    const std::string text = base::Cat(",", end);
    pieces_.push_back({text, Width(text), false});
    return;
  }
  Close();
  group_ = group;
  in_group_ = 1;
  pieces_.push_back({whole, Width(whole), true});
}

std::vector<Piece> ShortNames::Take() {
  Close();
  return std::move(pieces_);
}

}  // namespace spar::client
