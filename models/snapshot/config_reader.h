// L1. config.json as the family files read it, and every other JSON file of a
// folder: typed, bounded, and complete:
// a field that nobody read must be known to leave the arithmetic alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace spar::models {

// What a whole number may be, ends included.
struct IntRange {
  int64_t min = 0;
  int64_t max = 0;
};

// What a real number may be: `above` < x <= `max`.
struct RealRange {
  double above = 0;
  double max = 0;
};

struct ConfigReaderOptions {
  // What errors put before a field's name, for a part of a file: "modules[2].".
  std::string prefix = {};
  // Accept the unread fields of Hugging Face configs that are known to leave a
  // model's arithmetic alone.
  bool allow_harmless_fields = true;
};

// The first error sticks and Finish returns it; later reads give the smallest
// value of their range, so that a family file reads straight through. A field
// is a path: "rope_parameters.rope_theta". Null and absent are the same unless
// said otherwise. Not thread-safe.
class ConfigReader {
 public:
  ConfigReader(std::filesystem::path file,
               nlohmann::json fields,
               ConfigReaderOptions options = {});

  // Whether the field is there at all, null included.
  bool IsWritten(std::string_view field) const;
  // Whether the field is there and is not null.
  bool IsSet(std::string_view field) const;
  bool IsObject(std::string_view field) const;

  std::optional<int> OptionalInt(std::string_view field, IntRange range);
  std::optional<double> OptionalReal(std::string_view field, RealRange range);
  std::optional<bool> OptionalBool(std::string_view field);
  std::optional<std::string> OptionalText(std::string_view field);
  std::optional<std::vector<std::string>> OptionalTexts(std::string_view field);

  // Of at most `max_count` numbers.
  std::optional<std::vector<int>> OptionalInts(std::string_view field,
                                               IntRange range,
                                               size_t max_count);

  // An absent field is an error.
  int Int(std::string_view field, IntRange range);
  bool Bool(std::string_view field);
  std::string Text(std::string_view field);
  // One reader for each object of an array of at most `max_count`, with the
  // same options; each has its own errors.
  std::vector<ConfigReader> Objects(std::string_view field, size_t max_count);

  // One value under several spellings: those that are set must agree.
  std::optional<double> AgreedReal(std::initializer_list<std::string> fields,
                                   RealRange range);
  std::optional<int> AgreedInt(std::initializer_list<std::string> fields,
                               IntRange range);
  std::optional<std::string> AgreedText(
      std::initializer_list<std::string> fields);

  // The field does not matter to this family.
  void Ignore(std::string_view field);
  // Refuses the folder: "field 'x' is 3: `why`".
  void Refuse(std::string_view field, std::string_view why);

  bool ok() const { return status_.ok(); }
  const std::filesystem::path& file() const { return file_; }
  // The first error; or the first field that nobody read, is not null, and is
  // not known to be harmless.
  absl::Status Finish();

 private:
  // Marks the field read. Null when absent or null.
  const nlohmann::json* Take(std::string_view field);
  const nlohmann::json* Find(std::string_view field) const;
  void Fail(std::string_view field,
            std::string_view problem,
            std::map<std::string, std::string> metadata = {});
  void CheckAllRead(const nlohmann::json& object, const std::string& prefix);
  template <typename T, typename Read>
  std::optional<T> Agreed(std::initializer_list<std::string> fields, Read read);

  const std::filesystem::path file_;
  const nlohmann::json fields_;
  const ConfigReaderOptions options_;
  std::set<std::string, std::less<>> read_ = {};
  absl::Status status_ = absl::OkStatus();
};

}  // namespace spar::models
