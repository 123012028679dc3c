// L1. Whether stored floating-point numbers are all finite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "models/snapshot/snapshot.h"

namespace spar::models {

size_t DtypeBytes(Dtype dtype);

// Index of the first NaN or infinity among `bytes`, which hold whole numbers of
// `dtype`, aligned for it.
std::optional<size_t> FirstNonFinite(Dtype dtype,
                                     std::span<const std::byte> bytes);

}  // namespace spar::models
