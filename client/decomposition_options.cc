#include "client/decomposition_options.h"

#include <cstdint>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace spar::client {
namespace {

v1::Prompt ParseTokens(const std::string& text) {
  v1::Prompt prompt;
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    size_t end = 0;
    int id = 0;
    try {
      id = std::stoi(part, &end);
    } catch (const std::exception&) {
      end = 0;
    }
    if (end == 0 || end != part.size()) {
      throw CLI::ValidationError(text, "want token ids: 1,2,3");
    }
    prompt.mutable_tokens()->add_ids(id);
  }
  return prompt;
}

}  // namespace

void AddDecompositionOptions(CLI::App& app, CommandLine& line) {
  app.add_option("name", line.argument,
                 "MODEL: what that model has; MODEL/NAME: one, with its "
                 "modules; by default what every model has");
  app.add_flag("--norms", line.norms,
               "With MODEL/NAME and --output json: the norm of every "
               "subcomponent, too");
}

void AddImportanceOptions(CLI::App& app, CommandLine& line) {
  v1::ImportancesRequest& request = line.importances;
  app.add_option("decomposition", line.argument,
                 "MODEL/NAME; NAME alone where the server has one model, or "
                 "--model says which")
      ->required();
  app.add_option("prompts", line.prompt_texts,
                 "Texts of the prompts; - for standard input, a prompt a line");
  app.add_option_function<std::vector<std::string>>(
         "--tokens",
         [&request](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             *request.add_prompts() = ParseTokens(text);
           }
         },
         "A prompt as token ids: 1,2,3. May be given again")
      ->allow_extra_args(false);
  app.add_flag("--ignore-special-tokens", line.ignore_special_tokens,
               "Read special tokens in the text as plain text");
  app.add_option_function<double>(
      "--threshold",
      [&request](double threshold) { request.set_threshold(threshold); },
      "Alive is what has a causal importance above this (0)");
  app.add_option_function<int32_t>(
      "--top-k",
      [&request](int32_t count) { request.set_max_subcomponent_count(count); },
      "The most of a module at one position, the most important; 0: all "
      "(default)");
  app.add_option_function<std::vector<std::string>>(
         "--module",
         [&request](const std::vector<std::string>& names) {
           for (const std::string& name : names) request.add_modules(name);
         },
         "A module to show; all by default. May be given again")
      ->allow_extra_args(false);
}

}  // namespace spar::client
