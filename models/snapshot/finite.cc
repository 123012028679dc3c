#include "models/snapshot/finite.h"

#include <algorithm>

namespace spar::models {
namespace {

// A number is not finite when its exponent bits are all ones. Whole blocks are
// tested without a branch; only a bad one is searched.
template <typename Bits, Bits kExponent>
std::optional<size_t> FirstWithFullExponent(std::span<const std::byte> bytes) {
  constexpr size_t kBlock = 4096;
  const auto* const numbers = reinterpret_cast<const Bits*>(bytes.data());
  const size_t count = bytes.size() / sizeof(Bits);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, count);
    bool bad = false;
    for (size_t i = begin; i < end; ++i) {
      bad |= (numbers[i] & kExponent) == kExponent;
    }
    if (!bad) continue;
    for (size_t i = begin; i < end; ++i) {
      if ((numbers[i] & kExponent) == kExponent) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

size_t DtypeBytes(Dtype dtype) {
  return dtype == Dtype::kFloat32 ? 4 : 2;
}

std::optional<size_t> FirstNonFinite(Dtype dtype,
                                     std::span<const std::byte> bytes) {
  switch (dtype) {
    case Dtype::kFloat32:
      return FirstWithFullExponent<uint32_t, 0x7f800000>(bytes);
    case Dtype::kFloat16:
      return FirstWithFullExponent<uint16_t, 0x7c00>(bytes);
    case Dtype::kBfloat16:
      return FirstWithFullExponent<uint16_t, 0x7f80>(bytes);
  }
  return std::nullopt;
}

}  // namespace spar::models
