#include "models/snapshot/safetensors_reader.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/strict_json.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;

struct DtypeSize {
  std::string_view name = {};
  uint64_t bytes = 0;
};

constexpr DtypeSize kDtypes[] = {
    {"BOOL", 1},    {"U8", 1},      {"I8", 1},  {"F8_E5M2", 1},
    {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2},
    {"F16", 2},     {"BF16", 2},    {"I32", 4}, {"U32", 4},
    {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8},
};

// A tensor's place in the data section.
struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
  const std::string* name = nullptr;
};

// Reads one file's header. `data_bytes` is what follows it.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path,
               std::span<const std::byte> data)
      : path_(path), data_(data) {}

  absl::Status Read(std::string_view header,
                    std::map<std::string, StoredTensor>* tensors) {
    const absl::StatusOr<Json> json = ParseJsonObject(header);
    if (!json.ok()) {
      return BadModel(path_,
                      base::Cat("header: ", base::MessageOf(json.status())));
    }
    std::vector<Range> ranges;
    for (const auto& [name, entry] : json->items()) {
      if (name == "__metadata__") {
        RETURN_IF_ERROR(CheckMetadata(entry));
        continue;
      }
      const auto slot = tensors->emplace(name, StoredTensor{}).first;
      RETURN_IF_ERROR(ReadTensor(name, entry, &slot->second, &ranges));
      ranges.back().name = &slot->first;
    }
    return CheckCoverage(std::move(ranges));
  }

 private:
  absl::Status CheckMetadata(const Json& entry) const {
    if (!entry.is_object()) {
      return BadModel(path_, "header: __metadata__ is not an object");
    }
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) {
        return BadModel(path_, base::Cat("header: __metadata__ field ",
                                         Quoted(key), " is not a string"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensor(const std::string& name,
                          const Json& entry,
                          StoredTensor* tensor,
                          std::vector<Range>* ranges) const {
    if (!entry.is_object()) return Bad(name, "entry is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        return Bad(name, base::Cat("unknown entry field ", Quoted(key)));
      }
    }
    const auto dtype = entry.find("dtype");
    if (dtype == entry.end() || !dtype->is_string()) {
      return Bad(name, "dtype is missing or not a string");
    }
    tensor->dtype = dtype->get<std::string>();
    uint64_t num_bytes = 0;
    RETURN_IF_ERROR(ReadShape(name, entry, tensor, &num_bytes));
    Range range;
    RETURN_IF_ERROR(ReadOffsets(name, entry, &range));
    if (range.end - range.begin != num_bytes) {
      return Bad(
          name,
          base::Cat("dtype ", tensor->dtype, " and shape ",
                    ShapeText(tensor->shape), " need ", num_bytes,
                    " bytes, data_offsets hold ", range.end - range.begin),
          {{"want_bytes", std::to_string(num_bytes)},
           {"got_bytes", std::to_string(range.end - range.begin)}});
    }
    const uint64_t size = SizeOf(tensor->dtype);
    if (range.begin % size != 0) {
      return Bad(name,
                 base::Cat("data_offsets begin at ", range.begin,
                           ", which is not aligned for ", tensor->dtype, " (",
                           size, " bytes)"),
                 {{"begin", std::to_string(range.begin)},
                  {"alignment", std::to_string(size)}});
    }
    tensor->bytes = data_.subspan(range.begin, num_bytes);
    ranges->push_back(range);
    return absl::OkStatus();
  }

  absl::Status ReadShape(const std::string& name,
                         const Json& entry,
                         StoredTensor* tensor,
                         uint64_t* num_bytes) const {
    *num_bytes = SizeOf(tensor->dtype);
    if (*num_bytes == 0) {
      return Bad(name, base::Cat("unknown dtype ", Quoted(tensor->dtype)));
    }
    const auto shape = entry.find("shape");
    if (shape == entry.end() || !shape->is_array()) {
      return Bad(name, "shape is missing or not an array");
    }
    bool overflows = false;
    for (const Json& dim : *shape) {
      if (!dim.is_number_unsigned() || dim.get<uint64_t>() > INT64_MAX) {
        return Bad(name, base::Cat("shape holds ", dim.dump(),
                                   ", which is not a size"));
      }
      const uint64_t size = dim.get<uint64_t>();
      tensor->shape.push_back(static_cast<int64_t>(size));
      overflows |= __builtin_mul_overflow(*num_bytes, size, num_bytes);
    }
    if (overflows) {
      return Bad(name, base::Cat("shape ", ShapeText(tensor->shape),
                                 " overflows 64 bits"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadOffsets(const std::string& name,
                           const Json& entry,
                           Range* range) const {
    const auto offsets = entry.find("data_offsets");
    if (offsets == entry.end() || !offsets->is_array() ||
        offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned()) {
      return Bad(name, "data_offsets are not two sizes");
    }
    range->begin = (*offsets)[0].get<uint64_t>();
    range->end = (*offsets)[1].get<uint64_t>();
    if (range->begin > range->end || range->end > data_.size()) {
      return Bad(name,
                 base::Cat("data_offsets [", range->begin, ",", range->end,
                           "] are out of range: the file holds ", data_.size(),
                           " bytes of data"),
                 {{"begin", std::to_string(range->begin)},
                  {"end", std::to_string(range->end)},
                  {"data_bytes", std::to_string(data_.size())}});
    }
    return absl::OkStatus();
  }

  absl::Status CheckCoverage(std::vector<Range> ranges) const {
    std::ranges::sort(ranges, [](const Range& a, const Range& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t covered = 0;
    for (const Range& range : ranges) {
      if (range.begin != covered) {
        return Bad(*range.name,
                   base::Cat("data_offsets begin at ", range.begin,
                             range.begin < covered
                                 ? ", inside the tensor before, which ends at "
                                 : ", after a gap that begins at ",
                             covered),
                   {{"begin", std::to_string(range.begin)},
                    {"previous_end", std::to_string(covered)}});
      }
      covered = range.end;
    }
    if (covered != data_.size()) {
      return BadModel(path_,
                      base::Cat("holds ", data_.size(),
                                " bytes of data, its tensors cover ", covered),
                      {{"data_bytes", std::to_string(data_.size())},
                       {"covered_bytes", std::to_string(covered)}});
    }
    return absl::OkStatus();
  }

  absl::Status Bad(const std::string& name,
                   std::string_view message,
                   std::map<std::string, std::string> metadata = {}) const {
    metadata["tensor"] = name;
    return BadModel(path_, base::Cat("tensor ", Quoted(name), ": ", message),
                    std::move(metadata));
  }

  static uint64_t SizeOf(std::string_view dtype) {
    for (const DtypeSize& known : kDtypes) {
      if (known.name == dtype) return known.bytes;
    }
    return 0;
  }

  const std::filesystem::path& path_;
  const std::span<const std::byte> data_;
};

uint64_t LittleEndian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = kLengthBytes; i-- > 0;) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  }
  return value;
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(
    const std::filesystem::path& path) {
  SafetensorsFile result;
  ASSIGN_OR_RETURN(result.file_, MappedFile::Open(path));
  const std::span<const std::byte> bytes = result.file_.bytes();
  if (bytes.size() < kLengthBytes) {
    return BadModel(path, base::Cat("has ", bytes.size(), " bytes, at least 8"),
                    {{"size", std::to_string(bytes.size())}});
  }
  const uint64_t header_bytes = LittleEndian(bytes);
  const uint64_t room = bytes.size() - kLengthBytes;
  if (header_bytes > kMaxHeaderBytes || header_bytes > room) {
    return BadModel(
        path,
        base::Cat("header of ", header_bytes, " bytes, at most ",
                  std::min(kMaxHeaderBytes, room)),
        {{"header_bytes", std::to_string(header_bytes)},
         {"limit", std::to_string(std::min(kMaxHeaderBytes, room))}});
  }
  const std::string_view header(
      reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes);
  std::span<const std::byte> data = bytes.subspan(kLengthBytes + header_bytes);
  if (header_bytes % 8 != 0 && !data.empty()) {
    result.aligned_data_ =
        std::make_unique_for_overwrite<std::byte[]>(data.size());
    std::memcpy(result.aligned_data_.get(), data.data(), data.size());
    data = {result.aligned_data_.get(), data.size()};
  }
  RETURN_IF_ERROR(HeaderReader(path, data).Read(header, &result.tensors_));
  return result;
}

}  // namespace spar::models
