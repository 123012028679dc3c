// Names of many units on a line, those of one group shortened to their ends.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/text.h"

namespace spar::client {

// "h.3.mlp#neuron=100", ",317", "+12 more", ... as pieces of a line.
class ShortNames {
 public:
  // Of one group's run at most so many are told.
  explicit ShortNames(int most_of_a_group) : most_(most_of_a_group) {}

  // The next name: `whole` where it is the first of its group's run, else a
  // comma and `end`. Without a group it stands alone.
  void Add(std::optional<std::string_view> group,
           const std::string& whole,
           std::string_view end);

  // Once, after the last.
  std::vector<Piece> Take();

 private:
  void Close();  // tells how many of the run were left out

  const int most_;
  std::vector<Piece> pieces_ = {};
  std::optional<std::string> group_ = std::nullopt;
  int in_group_ = 0;
  int left_out_ = 0;
};

}  // namespace spar::client
