// L5. Files that the command line writes.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace spar::client {

// Whether a file can be written there. Long work should not end with a mistyped
// path, so this comes first; it changes no file's content. kDataLoss.
absl::Status CheckWritable(const std::string& path);

// The whole text. kDataLoss.
absl::Status WriteFile(const std::string& path, std::string_view text);

}  // namespace spar::client
