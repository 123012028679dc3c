// L1, tokenizers. Typed reading of tokenizer files, which are untrusted: every
// error is BAD_TOKENIZER with the file and the path of the field at fault.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace spar::models::text {

using Json = nlohmann::json;

// A place in a file, for messages: "tokenizer.json" and "model.vocab".
struct Place {
  std::string file = {};
  std::string field = {};

  Place Member(std::string_view name) const;
  Place Element(size_t index) const;
};

// kInvalidArgument BAD_TOKENIZER: "FILE: FIELD: message".
absl::Status BadTokenizer(
    const Place& place,
    std::string_view message,
    const std::map<std::string, std::string>& metadata = {});

// The whole file. kNotFound when there is none, BAD_TOKENIZER when it is larger
// than 256 MiB or unreadable.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// Refuses what is not JSON, nests deeper than 64, or repeats a key.
absl::StatusOr<Json> ParseJson(std::string_view text, const Place& place);

// A JSON object with typed members. A member that is null counts as absent.
// Holds a pointer: `value` outlives it.
class JsonObject {
 public:
  static absl::StatusOr<JsonObject> Of(const Json& value, const Place& place);

  const Place& place() const { return place_; }

  // Refuses every member that is not among `names`: a field nobody reads could
  // change the ids. null members are no exception to that.
  absl::Status OnlyHas(std::initializer_list<std::string_view> names) const;

  const Json* Find(std::string_view name) const;  // null when absent
  absl::StatusOr<const Json*> Need(std::string_view name) const;

  absl::StatusOr<std::string> String(std::string_view name) const;
  absl::StatusOr<std::optional<std::string>> OptionalString(
      std::string_view name) const;
  absl::StatusOr<bool> Bool(std::string_view name, bool absent) const;
  // In [0, limit).
  absl::StatusOr<int> Index(std::string_view name, int limit) const;
  // Empty when absent.
  absl::StatusOr<const Json*> Array(std::string_view name) const;

 private:
  JsonObject(const Json* value, Place place)
      : value_(value), place_(std::move(place)) {}

  const Json* value_;
  Place place_;
};

// `value` as an integer of [0, limit).
absl::StatusOr<int> IndexOf(const Json& value, int limit, const Place& place);

}  // namespace spar::models::text
