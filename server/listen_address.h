// L6. HOST:PORT, and whether other machines can reach it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spar {

struct ListenAddress {
  std::string host = {};  // "127.0.0.1", "::1" (no brackets), "localhost"
  int port = 0;           // 0: any free one
  bool loopback = false;  // reachable from this machine alone

  std::string ToString() const;  // "127.0.0.1:7430", "[::1]:7430"
};

// `setting` names it in the error. kInvalidArgument BAD_ADDRESS.
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text,
                                                 std::string_view setting);

}  // namespace spar
