#include "client/set_options.h"

#include <CLI/CLI.hpp>

#include "base/status.h"

namespace spar::client {

void AddSetOptions(CLI::App& app,
                   const std::string& name,
                   const std::string& help,
                   CommandLine& line) {
  SetArguments& set = line.set;
  auto* const file = app.add_option(
      name, set.path,
      base::Cat(help,
                ": what `spar crystallize --output json`, `spar prune --output "
                "json` or `spar prune --save` wrote. Prompt, target and "
                "decomposition come from it too, unless they are given"));
  app.add_option_function<int32_t>(
         "--row", [&set](int32_t row) { set.choice.row = row; },
         "Which row of a pruning, from 0; of one prompt the one that `spar "
         "prune` shows by default")
      ->needs(file);
  app.add_flag("--certified", set.choice.certified,
               "What the row's search ended with, not its pruned nodes")
      ->needs(file);
}

}  // namespace spar::client
