#include "models/snapshot/config_reader.h"

#include <utility>

#include "base/status.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/harmless_fields.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

// A value short enough for a message.
std::string Shown(const Json& value) {
  if (value.is_string()) return Quoted(value.get<std::string>());
  if (value.is_object()) return "an object";
  if (value.is_array()) return base::Cat("an array of ", value.size());
  return value.dump();
}

}  // namespace

ConfigReader::ConfigReader(std::filesystem::path file,
                           Json fields,
                           ConfigReaderOptions options)
    : file_(std::move(file)),
      fields_(std::move(fields)),
      options_(std::move(options)) {}

const Json* ConfigReader::Find(std::string_view field) const {
  const Json* object = &fields_;
  while (true) {
    if (!object->is_object()) return nullptr;
    const size_t dot = field.find('.');
    const auto found = object->find(std::string(field.substr(0, dot)));
    if (found == object->end()) return nullptr;
    if (dot == field.npos) return &*found;
    object = &*found;
    field.remove_prefix(dot + 1);
  }
}

const Json* ConfigReader::Take(std::string_view field) {
  read_.emplace(field);
  const Json* const value = Find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool ConfigReader::IsWritten(std::string_view field) const {
  return Find(field) != nullptr;
}

bool ConfigReader::IsSet(std::string_view field) const {
  const Json* const value = Find(field);
  return value != nullptr && !value->is_null();
}

bool ConfigReader::IsObject(std::string_view field) const {
  const Json* const value = Find(field);
  return value != nullptr && value->is_object();
}

std::optional<int> ConfigReader::OptionalInt(std::string_view field,
                                             IntRange range) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<uint64_t>() <= uint64_t{INT64_MAX});
  const int64_t number = fits ? value->get<int64_t>() : range.min;
  if (!fits || number < range.min || number > range.max) {
    Fail(field,
         base::Cat("is ", Shown(*value), ", want a whole number in [",
                   range.min, ", ", range.max, "]"),
         {{"value", Shown(*value)},
          {"min", std::to_string(range.min)},
          {"max", std::to_string(range.max)}});
    return static_cast<int>(range.min);
  }
  return static_cast<int>(number);
}

std::optional<double> ConfigReader::OptionalReal(std::string_view field,
                                                 RealRange range) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : range.above;
  if (!(number > range.above && number <= range.max)) {
    Fail(field,
         base::Cat("is ", Shown(*value), ", want a number in (", range.above,
                   ", ", range.max, "]"),
         {{"value", Shown(*value)},
          {"above", base::Cat(range.above)},
          {"max", base::Cat(range.max)}});
    return range.max;
  }
  return number;
}

std::optional<bool> ConfigReader::OptionalBool(std::string_view field) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    Fail(field, base::Cat("is ", Shown(*value), ", want true or false"),
         {{"value", Shown(*value)}});
    return false;
  }
  return value->get<bool>();
}

std::optional<std::string> ConfigReader::OptionalText(std::string_view field) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    Fail(field, base::Cat("is ", Shown(*value), ", want a string"),
         {{"value", Shown(*value)}});
    return std::string();
  }
  return value->get<std::string>();
}

std::optional<std::vector<std::string>> ConfigReader::OptionalTexts(
    std::string_view field) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  bool all_texts = value->is_array();
  for (size_t i = 0; all_texts && i < value->size(); ++i) {
    all_texts = (*value)[i].is_string();
    if (all_texts) texts.push_back((*value)[i].get<std::string>());
  }
  if (!all_texts) {
    Fail(field, base::Cat("is ", Shown(*value), ", want an array of strings"),
         {{"value", Shown(*value)}});
  }
  return texts;
}

std::optional<std::vector<int>> ConfigReader::OptionalInts(
    std::string_view field, IntRange range, size_t max_count) {
  const Json* const value = Take(field);
  if (value == nullptr) return std::nullopt;
  std::vector<int> numbers;
  bool fits = value->is_array() && value->size() <= max_count;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    const Json& number = (*value)[i];
    fits = number.is_number_integer() &&
           (!number.is_number_unsigned() ||
            number.get<uint64_t>() <= uint64_t{INT64_MAX}) &&
           number.get<int64_t>() >= range.min &&
           number.get<int64_t>() <= range.max;
    if (fits) numbers.push_back(static_cast<int>(number.get<int64_t>()));
  }
  if (!fits) {
    Fail(field,
         base::Cat("is ", Shown(*value), ", want an array of at most ",
                   max_count, " whole numbers in [", range.min, ", ", range.max,
                   "]"),
         {{"value", Shown(*value)},
          {"min", std::to_string(range.min)},
          {"max", std::to_string(range.max)}});
    return std::nullopt;
  }
  return numbers;
}

bool ConfigReader::Bool(std::string_view field) {
  const std::optional<bool> value = OptionalBool(field);
  if (!value.has_value()) Fail(field, "is missing");
  return value.value_or(false);
}

std::string ConfigReader::Text(std::string_view field) {
  const std::optional<std::string> value = OptionalText(field);
  if (!value.has_value()) Fail(field, "is missing");
  return value.value_or("");
}

std::vector<ConfigReader> ConfigReader::Objects(std::string_view field,
                                                size_t max_count) {
  const Json* const value = Take(field);
  std::vector<ConfigReader> readers;
  if (value == nullptr) {
    Fail(field, "is missing");
    return readers;
  }
  bool fits = value->is_array() && value->size() <= max_count;
  for (size_t i = 0; fits && i < value->size(); ++i) {
    fits = (*value)[i].is_object();
  }
  if (!fits) {
    Fail(field,
         base::Cat("is ", Shown(*value), ", want an array of at most ",
                   max_count, " objects"),
         {{"value", Shown(*value)}});
    return readers;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    ConfigReaderOptions options = options_;
    options.prefix = base::Cat(options_.prefix, field, "[", i, "].");
    readers.emplace_back(file_, (*value)[i], std::move(options));
  }
  return readers;
}

int ConfigReader::Int(std::string_view field, IntRange range) {
  const std::optional<int> value = OptionalInt(field, range);
  if (!value.has_value()) Fail(field, "is missing");
  return value.value_or(static_cast<int>(range.min));
}

template <typename T, typename Read>
std::optional<T> ConfigReader::Agreed(std::initializer_list<std::string> fields,
                                      Read read) {
  std::optional<T> agreed;
  std::string first;
  for (const std::string& field : fields) {
    const std::optional<T> value = read(field);
    if (!value.has_value()) continue;
    if (agreed.has_value() && *agreed != *value) {
      Fail(field,
           base::Cat("is ", Shown(*Find(field)), ", but '", first, "' is ",
                     Shown(*Find(first))),
           {{"value", Shown(*Find(field))},
            {"other_field", first},
            {"other_value", Shown(*Find(first))}});
    }
    if (!agreed.has_value()) first = field;
    agreed = value;
  }
  return agreed;
}

std::optional<double> ConfigReader::AgreedReal(
    std::initializer_list<std::string> fields, RealRange range) {
  return Agreed<double>(fields, [&](const std::string& field) {
    return OptionalReal(field, range);
  });
}

std::optional<int> ConfigReader::AgreedInt(
    std::initializer_list<std::string> fields, IntRange range) {
  return Agreed<int>(fields, [&](const std::string& field) {
    return OptionalInt(field, range);
  });
}

std::optional<std::string> ConfigReader::AgreedText(
    std::initializer_list<std::string> fields) {
  return Agreed<std::string>(
      fields, [&](const std::string& field) { return OptionalText(field); });
}

void ConfigReader::Ignore(std::string_view field) {
  read_.emplace(field);
}

void ConfigReader::Refuse(std::string_view field, std::string_view why) {
  const Json* const value = Find(field);
  const std::string shown = value == nullptr ? "absent" : Shown(*value);
  Fail(field, base::Cat("is ", shown, ": ", why), {{"value", shown}});
}

void ConfigReader::Fail(std::string_view field,
                        std::string_view problem,
                        std::map<std::string, std::string> metadata) {
  if (!status_.ok()) return;
  const std::string name = base::Cat(options_.prefix, field);
  metadata["field"] = name;
  status_ = BadModel(file_, base::Cat("field ", Quoted(name), " ", problem),
                     std::move(metadata));
}

void ConfigReader::CheckAllRead(const Json& object, const std::string& prefix) {
  for (const auto& [name, value] : object.items()) {
    const std::string field = prefix + name;
    if (value.is_null() || read_.contains(field)) continue;
    const auto inner = read_.lower_bound(field + ".");
    if (value.is_object() && inner != read_.end() &&
        inner->starts_with(field + ".")) {
      CheckAllRead(value, field + ".");
    } else if (!options_.allow_harmless_fields) {
      Refuse(field, "not a field of this format");
    } else if (!IsHarmlessField(field, value)) {
      Refuse(field, "not understood, and may change the model's arithmetic");
    }
  }
}

absl::Status ConfigReader::Finish() {
  if (status_.ok()) CheckAllRead(fields_, "");
  return status_;
}

}  // namespace spar::models
