// L1. The reference prompts of a model: a text file of one prompt per line.
//
// They define the mean reference, and the tokens that take the place of others
// when precision is measured.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace spar::models {

// Beside the model, unless the configuration names another file.
inline constexpr char kReferencePromptsFile[] = "reference_prompts.txt";

inline constexpr size_t kMaxReferencePrompts = 100'000;
inline constexpr size_t kMaxReferencePromptBytes = size_t{64} << 10;
inline constexpr size_t kMaxReferenceFileBytes = size_t{16} << 20;

// The file's lines, in order, without their line ends (LF or CRLF). Lines that
// are blank or begin with '#' are skipped; white space at either end of any
// other line is part of the prompt. A byte order mark is dropped.
//   kNotFound         no such file
//   kInvalidArgument  not UTF-8, a NUL, or beyond one of the limits; reason
//                     BAD_REFERENCE_PROMPTS with the file and the line, or
//                     BAD_MODEL where the file itself cannot be read
absl::StatusOr<std::vector<std::string>> ReadReferencePrompts(
    const std::filesystem::path& path);

}  // namespace spar::models
