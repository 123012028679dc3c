// L5. The options of `spar ablate` about masks and what changes them.
#pragma once

#include <CLI/CLI.hpp>

#include "spar/v1/ablation_service.pb.h"

namespace spar::client {

// They fill `ablation`, which outlives the parse.
void AddAblateOptions(CLI::App& app, v1::AblateRequest& ablation);

}  // namespace spar::client
