// L1t. Which device and number type a backend runs on, and its memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace spar::models {

// "cpu", "cuda", "cuda:1". kInvalidArgument BAD_DEVICE for another name and for
// a device that this LibTorch or machine lacks.
absl::StatusOr<c10::Device> ParseDevice(std::string_view name);

// "float32", "bfloat16", "float16". kInvalidArgument BAD_DTYPE.
absl::StatusOr<c10::ScalarType> ParseDtype(std::string_view name);

// Host memory that new allocations may take, by the kernel's estimate.
int64_t AvailableHostBytes();

}  // namespace spar::models
