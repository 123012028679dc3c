// L1, tokenizers. Typed reading of tokenizer files.
#include "models/text/json_reader.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "base/status.h"

namespace spar::models::text {
namespace {

constexpr uintmax_t kMaxFileBytes = uintmax_t{256} << 20;
constexpr int kMaxDepth = 64;

// Watches the parser for what a DOM cannot show afterwards.
class ParseGuard {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth) too_deep_ = true;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.empty() && repeated_.empty()) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) repeated_ = key, found_ = true;
    }
    return !too_deep_;
  }

  bool too_deep() const { return too_deep_; }
  bool found_repeated() const { return found_; }
  const std::string& repeated() const { return repeated_; }

 private:
  std::vector<absl::flat_hash_set<std::string>> keys_;  // of the open objects
  std::string repeated_;
  bool found_ = false;
  bool too_deep_ = false;
};

}  // namespace

Place Place::Member(std::string_view name) const {
  return {
      .file = file,
      .field = field.empty() ? std::string(name) : base::Cat(field, ".", name)};
}

Place Place::Element(size_t index) const {
  return {.file = file, .field = base::Cat(field, "[", index, "]")};
}

absl::Status BadTokenizer(const Place& place,
                          std::string_view message,
                          const std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> all = metadata;
  all["file"] = place.file;
  if (!place.field.empty()) all["field"] = place.field;
  const std::string where = place.field.empty()
                                ? place.file
                                : base::Cat(place.file, ": ", place.field);
  return base::InvalidArgument("BAD_TOKENIZER", "",
                               base::Cat(where, ": ", message), all);
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  const Place place{.file = path.filename().string()};
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return base::Error(
        absl::StatusCode::kNotFound, base::Cat(place.file, ": no such file"),
        {.reason = "BAD_TOKENIZER", .metadata = {{"file", place.file}}});
  }
  if (!std::filesystem::is_regular_file(path, error)) {
    return BadTokenizer(place, "not a regular file");
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return BadTokenizer(place, "cannot be read");
  if (size > kMaxFileBytes) {
    return BadTokenizer(
        place, base::Cat(size, " bytes: want at most ", kMaxFileBytes),
        {{"bytes", base::Cat(size)}, {"limit", base::Cat(kMaxFileBytes)}});
  }
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream contents;
  if (size > 0) contents << stream.rdbuf();
  if (!stream) return BadTokenizer(place, "cannot be read");
  return std::move(contents).str();
}

absl::StatusOr<Json> ParseJson(std::string_view text, const Place& place) {
  ParseGuard guard;
  const Json::parser_callback_t watch =
      [&guard](int depth, Json::parse_event_t event, Json& parsed) {
        return guard(depth, event, parsed);
      };
  Json value = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (guard.too_deep()) {
    return BadTokenizer(place,
                        base::Cat("nested deeper than ", kMaxDepth, " levels"),
                        {{"limit", base::Cat(kMaxDepth)}});
  }
  if (value.is_discarded()) return BadTokenizer(place, "not valid JSON");
  if (guard.found_repeated()) {
    return BadTokenizer(
        place, base::Cat("the key \"", guard.repeated(), "\" occurs twice"));
  }
  return value;
}

absl::StatusOr<JsonObject> JsonObject::Of(const Json& value,
                                          const Place& place) {
  if (!value.is_object()) return BadTokenizer(place, "want an object");
  return JsonObject(&value, place);
}

absl::Status JsonObject::OnlyHas(
    std::initializer_list<std::string_view> names) const {
  for (const auto& item : value_->items()) {
    if (std::find(names.begin(), names.end(), item.key()) == names.end()) {
      return BadTokenizer(place_.Member(item.key()),
                          "a field that this server does not know");
    }
  }
  return absl::OkStatus();
}

const Json* JsonObject::Find(std::string_view name) const {
  const auto found = value_->find(std::string(name));
  if (found == value_->end() || found->is_null()) return nullptr;
  return &*found;
}

absl::StatusOr<const Json*> JsonObject::Need(std::string_view name) const {
  const Json* found = Find(name);
  if (found == nullptr) return BadTokenizer(place_.Member(name), "is missing");
  return found;
}

absl::StatusOr<std::optional<std::string>> JsonObject::OptionalString(
    std::string_view name) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) {
    return BadTokenizer(place_.Member(name), "want a string");
  }
  return std::optional<std::string>(found->get_ref<const std::string&>());
}

absl::StatusOr<std::string> JsonObject::String(std::string_view name) const {
  ASSIGN_OR_RETURN(std::optional<std::string> found, OptionalString(name));
  if (!found) return BadTokenizer(place_.Member(name), "is missing");
  return *std::move(found);
}

absl::StatusOr<bool> JsonObject::Bool(std::string_view name,
                                      bool absent) const {
  const Json* found = Find(name);
  if (found == nullptr) return absent;
  if (!found->is_boolean()) {
    return BadTokenizer(place_.Member(name), "want true or false");
  }
  return found->get<bool>();
}

absl::StatusOr<int> JsonObject::Index(std::string_view name, int limit) const {
  ASSIGN_OR_RETURN(const Json* found, Need(name));
  return IndexOf(*found, limit, place_.Member(name));
}

absl::StatusOr<const Json*> JsonObject::Array(std::string_view name) const {
  static const Json* const kEmpty = new Json(Json::array());
  const Json* found = Find(name);
  if (found == nullptr) return kEmpty;
  if (!found->is_array()) {
    return BadTokenizer(place_.Member(name), "want an array");
  }
  return found;
}

absl::StatusOr<int> IndexOf(const Json& value, int limit, const Place& place) {
  const bool in_range =
      value.is_number_unsigned()
          ? value.get<uint64_t>() < static_cast<uint64_t>(limit)
          : value.is_number_integer() && value.get<int64_t>() >= 0 &&
                value.get<int64_t>() < limit;
  if (in_range) return value.get<int>();
  const std::string got = value.is_number() ? value.dump() : value.type_name();
  return BadTokenizer(place,
                      base::Cat(got, ": want an integer of [0, ", limit, ")"),
                      {{"value", got}, {"limit", base::Cat(limit)}});
}

}  // namespace spar::models::text
