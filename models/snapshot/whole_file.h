// L1. Files that appear whole or not at all.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace spar::models {

// Makes `pieces`, one after the other, the file at `path`, in place of any that
// is there: written under another name beside it, then renamed. So a reader
// never sees half a file, and writers of the same path do not meet.
// kUnavailable CANNOT_WRITE, and then nothing is left behind.
absl::Status WriteWholeFile(const std::filesystem::path& path,
                            std::span<const std::string_view> pieces);
absl::Status WriteWholeFile(const std::filesystem::path& path,
                            std::string_view text);

// Makes `folder`, and those around it, where they are missing. Errors as above.
absl::Status MakeFolder(const std::filesystem::path& folder);

}  // namespace spar::models
