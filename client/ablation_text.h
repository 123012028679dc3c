// L5. Ablations as people read them: one line for each run.
#pragma once

#include <cstdint>
#include <string>

#include "client/style.h"

#include "spar/v1/ablation_service.pb.h"

namespace spar::client {

// The prompt, the headings of the rows, and what the model itself says at the
// positions read.
std::string FormatAblationStart(const v1::AblationStart& start,
                                const Style& style);

// One run: what was changed, then for each position read its KL, the target's
// margin and probability, and the strongest candidates. A generated token is
// shown in place of what was changed.
std::string FormatAblationRow(const v1::AblationRow& row, const Style& style);

}  // namespace spar::client
