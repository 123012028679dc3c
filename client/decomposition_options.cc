#include "client/decomposition_options.h"

#include <cstdint>
#include <string>
#include <vector>

#include "client/prompt_options.h"

namespace spar::client {
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
  AddPromptsOptions(app, line);
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
