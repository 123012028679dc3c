// L5. The options of a search for (S, T), of whatever command asks for one.
#pragma once

#include <CLI/CLI.hpp>

#include "spar/v1/explanation_service.pb.h"

namespace spar::client {

// Of `spar crystallize`. They fill `options`, which outlives the parse.
void AddSearchOptions(CLI::App& app, v1::CrystallizeOptions& options);

// Of the searches that begin from pruned rows: over nodes alone, of the
// decomposition that is pruned, with the seed as --search-seed. They fill
// `options`, which outlives the parse, and need `asked`.
void AddRowSearchOptions(CLI::App& app,
                         v1::CrystallizeOptions& options,
                         CLI::Option* asked);

}  // namespace spar::client
