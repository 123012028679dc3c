// L1. The words that decomposition.json has for the values of the spec.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/decomposition_spec.h"
#include "models/snapshot/config_reader.h"

namespace spar::models {

inline constexpr std::array<std::pair<std::string_view, CiKind>, 7>
    kCiKindNames = {{
        {"mlp", CiKind::kMlp},
        {"vector_mlp", CiKind::kVectorMlp},
        {"shared_mlp", CiKind::kSharedMlp},
        {"sequence_mlp", CiKind::kSequenceMlp},
        {"global_shared_mlp", CiKind::kGlobalSharedMlp},
        {"global_shared_transformer", CiKind::kGlobalSharedTransformer},
        {"global_reverse_residual", CiKind::kGlobalReverseResidual},
    }};

inline constexpr std::array<std::pair<std::string_view, CiSigmoid>, 5>
    kCiSigmoidNames = {{
        {"leaky_hard", CiSigmoid::kLeakyHard},
        {"hard", CiSigmoid::kHard},
        {"upper_leaky_hard", CiSigmoid::kUpperLeakyHard},
        {"swish_hard", CiSigmoid::kSwishHard},
        {"normal", CiSigmoid::kNormal},
    }};

inline constexpr std::array<std::pair<std::string_view, MaskSampling>, 2>
    kMaskSamplingNames = {{
        {"continuous", MaskSampling::kContinuous},
        {"binomial", MaskSampling::kBinomial},
    }};

inline constexpr std::array<std::pair<std::string_view, RelativePositions>, 2>
    kRelativePositionsNames = {{
        {"bias", RelativePositions::kBias},
        {"key", RelativePositions::kKey},
    }};

// The word of `value` in one of the tables above.
template <typename Names, typename Value>
constexpr std::string_view NameIn(const Names& names, Value value) {
  for (const auto& [name, known] : names) {
    if (known == value) return name;
  }
  return "";
}

// Reads a field that holds one of the words of `names`; the first value when it
// does not, with the error in `config`.
template <typename Names>
auto ReadName(ConfigReader& config,
              std::string_view field,
              const Names& names) {
  const std::string text = config.Text(field);
  std::string all;
  for (const auto& [name, value] : names) {
    if (name == text) return value;
    all += base::Cat(all.empty() ? "" : ", ", name);
  }
  config.Refuse(field, base::Cat("known are ", all));
  return names[0].second;
}

}  // namespace spar::models
