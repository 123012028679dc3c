#include "models/torch/device.h"

#include <charconv>
#include <fstream>
#include <string>

#include <unistd.h>

#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "base/status.h"

namespace spar::models {
namespace {

absl::Status BadDevice(std::string_view name, std::string_view why) {
  return base::InvalidArgument("BAD_DEVICE", "device",
                               base::Cat("device '", name, "': ", why),
                               {{"device", std::string(name)}});
}

}  // namespace

absl::StatusOr<c10::Device> ParseDevice(std::string_view name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (!name.starts_with("cuda")) return BadDevice(name, "want cpu or cuda[:N]");
  int index = 0;
  const std::string_view rest = name.substr(4);
  if (!rest.empty()) {
    const char* const end = rest.data() + rest.size();
    const auto [parsed, error] = std::from_chars(rest.data() + 1, end, index);
    if (rest[0] != ':' || error != std::errc() || parsed != end || index < 0) {
      return BadDevice(name, "want cpu or cuda[:N]");
    }
  }
  if (!c10::impl::hasDeviceGuardImpl(c10::kCUDA)) {
    return BadDevice(name, "this LibTorch was built without CUDA");
  }
  const int count = c10::impl::getDeviceGuardImpl(c10::kCUDA)->deviceCount();
  if (index >= count) {
    return BadDevice(name,
                     base::Cat("this machine has ", count, " CUDA devices"));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

absl::StatusOr<c10::ScalarType> ParseDtype(std::string_view name) {
  if (name == "float32") return c10::kFloat;
  if (name == "bfloat16") return c10::kBFloat16;
  if (name == "float16") return c10::kHalf;
  return base::InvalidArgument(
      "BAD_DTYPE", "dtype",
      base::Cat("dtype '", name, "': want float32, bfloat16 or float16"),
      {{"dtype", std::string(name)}});
}

int64_t AvailableHostBytes() {
  std::ifstream info("/proc/meminfo");
  std::string key, unit;
  int64_t kibibytes = 0;
  while (info >> key >> kibibytes >> unit) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

}  // namespace spar::models
