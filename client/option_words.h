// L5. Options whose words stand for values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

namespace spar::client {

// An option that takes one of `words`, for example of an enum of the contract.
template <typename Value>
void AddWords(CLI::App& app,
              const std::string& name,
              const std::map<std::string, Value>& words,
              const std::string& help,
              const std::function<void(Value)>& set) {
  app.add_option_function<std::string>(
         name, [words, set](const std::string& word) { set(words.at(word)); },
         help)
      ->check(CLI::IsMember(words));
}

// A seed: any whole number from 0 that fits. Without the check a sign would
// wrap around.
inline void AddSeed(CLI::App& app,
                    const std::string& help,
                    const std::function<void(uint64_t)>& set) {
  app.add_option_function<uint64_t>("--seed", set, help)
      ->check([](const std::string& text) {
        return text.starts_with('-') ? "want a whole number from 0"
                                     : std::string();
      });
}

}  // namespace spar::client
