// L1. The largest sizes that a config may state. Generous beyond every model
// known, and small enough that products of a few fit in 64 bits.
#pragma once

#include "models/snapshot/config_reader.h"

namespace spar::models {

inline constexpr IntRange kLayersRange{.min = 1, .max = 1024};
inline constexpr IntRange kWidthRange{.min = 1, .max = 1 << 17};
inline constexpr IntRange kHeadsRange{.min = 1, .max = 4096};
inline constexpr IntRange kHeadDimRange{.min = 1, .max = 1 << 14};
inline constexpr IntRange kMlpWidthRange{.min = 1, .max = 1 << 20};
inline constexpr IntRange kVocabRange{.min = 2, .max = 1 << 24};
inline constexpr IntRange kContextRange{.min = 1, .max = 1 << 24};
inline constexpr RealRange kEpsilonRange{.above = 0, .max = 0.1};

}  // namespace spar::models
