// L6. The JSON configuration file in CLI11's terms.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace spar {

// One object whose keys are the flags' names without dashes in front. Values
// are strings, numbers, true and false, lists of these, and objects of strings
// ("model": {"demo": "models/demo"} is --model demo=models/demo). CLI11 takes
// errors as exceptions: CLI::FileError.
class JsonConfig final : public CLI::Config {
 public:
  std::string to_config(const CLI::App* app,
                        bool default_also,
                        bool write_description,
                        std::string prefix) const override;
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
};

}  // namespace spar
