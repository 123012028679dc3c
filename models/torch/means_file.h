// L1t. Keeps mean activations on disk between starts.
#pragma once

#include <filesystem>
#include <string>

#include "models/torch/masked_forward.h"

namespace spar::models {

// The file of `folder` (empty: none) that holds the means which `key`, hex
// digits, names. Failing to read or write costs time, never an answer.
class MeansFile {
 public:
  MeansFile(const std::filesystem::path& folder, const std::string& key);

  // True when the file was there, whole, and of the shape of `spec`.
  bool Read(const DecoderSpec& spec, ReferenceValues& means) const;
  // Written under another name first: a reader never sees half a file. A
  // failure is logged.
  void Write(const ReferenceValues& means) const;

 private:
  const std::filesystem::path path_;  // empty: nothing is kept
};

}  // namespace spar::models
