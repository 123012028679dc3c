// L1. Paths that someone else names, kept inside a folder.
#pragma once

#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"

namespace spar::models {

// The place of `path` in `root`, a folder that exists, with every link on the
// way followed. It need not exist. `field` is what names it. Whoever writes
// into `root` meanwhile may yet put a link there.
//   kInvalidArgument  PATH_OUTSIDE_FOLDER: empty, too long, absolute, with a
//   NUL
//                     or a part "." or "..", or a link leads out of `root` or
//                     nowhere
absl::StatusOr<std::filesystem::path> ConfinedPath(
    const std::filesystem::path& root,
    const std::filesystem::path& path,
    std::string_view field);

}  // namespace spar::models
