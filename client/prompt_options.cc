#include "client/prompt_options.h"

#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

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

void AddPromptsOptions(CLI::App& app, CommandLine& line) {
  app.add_option("prompts", line.prompt_texts,
                 "Texts of the prompts; - for standard input, a prompt a line");
  app.add_option_function<std::vector<std::string>>(
         "--tokens",
         [&line](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             line.token_prompts.push_back(ParseTokens(text));
           }
         },
         "A prompt as token ids: 1,2,3. May be given again")
      ->allow_extra_args(false);
  app.add_flag("--ignore-special-tokens", line.ignore_special_tokens,
               "Read special tokens in the text as plain text");
}

}  // namespace spar::client
