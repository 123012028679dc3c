#include "server/config_file.h"

#include "nlohmann/json.hpp"

#include "base/status.h"

namespace spar {
namespace {

using nlohmann::json;

CLI::FileError BadFile(const std::string& message) {
  return CLI::FileError(base::Cat("configuration file: ", message));
}

// A string, number, or truth value as its flag would have it.
std::string ScalarText(const std::string& key, const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  throw BadFile(base::Cat("\"", key, "\" holds ", value.dump(),
                          ": want a string, a number, true or false"));
}

std::vector<std::string> Texts(const std::string& key, const json& value) {
  std::vector<std::string> texts;
  if (value.is_array()) {
    for (const json& element : value) texts.push_back(ScalarText(key, element));
  } else if (value.is_object()) {
    for (const auto& [name, element] : value.items()) {
      texts.push_back(base::Cat(name, "=", ScalarText(key, element)));
    }
  } else {
    texts.push_back(ScalarText(key, value));
  }
  return texts;
}

}  // namespace

std::string JsonConfig::to_config(const CLI::App* /*app*/,
                                  bool /*default_also*/,
                                  bool /*write_description*/,
                                  std::string /*prefix*/) const {
  return "{}";
}

std::vector<CLI::ConfigItem> JsonConfig::from_config(
    std::istream& input) const {
  const json file = json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) throw BadFile("no valid JSON");
  if (!file.is_object()) throw BadFile("want one JSON object");
  std::vector<CLI::ConfigItem> settings;
  for (const auto& [key, value] : file.items()) {
    CLI::ConfigItem item;
    item.name = key;
    item.inputs = Texts(key, value);
    settings.push_back(item);
  }
  return settings;
}

}  // namespace spar
