// L1. A decoder of random weights in memory, for tests and measurements.
#pragma once

#include <cstdint>
#include <memory>

#include "models/snapshot/snapshot.h"

namespace spar::models {

// A Snapshot of the shape and arithmetic that `shape` gives (all fields but the
// weights' names, which are filled in here), float32, with biases everywhere if
// `biases`. The same seed gives the same weights. Streams stay of order one, so
// that every unit matters.
std::shared_ptr<const Snapshot> MakeRandomSnapshot(const DecoderSpec& shape,
                                                   bool biases,
                                                   uint64_t seed);

}  // namespace spar::models
