// L1. The one error of this folder: a model folder that is refused, and why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace spar::models {

// kInvalidArgument, reason BAD_MODEL, message "`file`: `message`". The metadata
// gains "file". `message` holds file content only through Quoted().
absl::Status BadModel(const std::filesystem::path& file,
                      std::string_view message,
                      std::map<std::string, std::string> metadata = {});

// kNotFound, reason BAD_MODEL: "`file`: `message`".
absl::Status MissingModelFile(const std::filesystem::path& file,
                              std::string_view message);

// Text of a file fit for a message: in single quotes, control characters and
// non-ASCII bytes escaped, cut at about 200 bytes.
std::string Quoted(std::string_view text);

// "[2,3]".
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace spar::models
