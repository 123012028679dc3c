// A tokenizer whose words are their ids: "t3 t7" is [3, 7], "<end>" is the
// special token 0, and no other word can be encoded.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/text/tokenizer.h"

namespace spar::testing {

std::unique_ptr<models::Tokenizer> MakeWordTokenizer(int vocab_size);

}  // namespace spar::testing
