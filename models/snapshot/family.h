// L1. The model families: one file and one row in family.cc for each.
// docs/adding-a-family.md says how.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/decoder_spec.h"
#include "models/snapshot/config_reader.h"
#include "models/snapshot/tensor_table.h"

namespace spar::models {

struct Family {
  std::string_view model_type = {};  // of config.json
  // What a checkpoint may or may not put before the names of its tensors
  // ("transformer."), the head's excepted. Empty: nothing.
  std::string_view prefix = {};
  std::string_view embedding = {};  // "wte.weight", after the prefix
  std::string_view head = {};       // "lm_head.weight"
  // Tensors that are no weights and are ignored, after the prefix; '*' stands
  // for a layer's number.
  std::span<const std::string_view> buffers = {};
  // Reads the config into a spec whose tensor names begin with `prefix`. Errors
  // stay in `config`; the spec is then unusable, but reading it is safe.
  DecoderSpec (*read)(ConfigReader& config,
                      const std::string& prefix) = nullptr;
};

extern const Family kGpt2Family;
extern const Family kGptNeoxFamily;
extern const Family kLlamaFamily;
extern const Family kMistralFamily;
extern const Family kQwen2Family;
extern const Family kLlamaSimpleFamily;
extern const Family kLlamaSimpleMlpFamily;
extern const Family kGpt2SimpleFamily;

// Null when no family has this model_type.
const Family* FindFamily(std::string_view model_type);
// In the order of the table.
std::vector<std::string> FamilyNames();

// The prefix that this checkpoint uses: the family's, or none.
std::string DetectPrefix(const Family& family, const TensorTable& tensors);

// Whether `name` is one of the family's ignored buffers.
bool IsIgnoredBuffer(const Family& family,
                     const std::string& prefix,
                     int num_layers,
                     std::string_view name);

}  // namespace spar::models
