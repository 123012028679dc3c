#include "server/service/option_check.h"

#include <vector>

#include "server/service/from_proto.h"

namespace spar::service {

using models::TokenId;

absl::Status OutOfRange(std::string_view reason,
                        std::string_view field,
                        const std::string& value,
                        std::string_view want) {
  return base::InvalidArgument(reason, field,
                               base::Cat(field, " is ", value, ": want ", want),
                               {{"value", value}, {"want", std::string(want)}});
}

absl::StatusOr<TokenId> TokenFromText(const std::string& text,
                                      const models::Tokenizer& tokenizer,
                                      std::string_view field) {
  const models::EncodeOptions bare{.parse_special = true,
                                   .add_special_tokens = false};
  ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                   TokensFromText(text, bare, tokenizer, field));
  if (tokens.size() == 1) return tokens[0];
  return base::InvalidArgument(
      "NOT_ONE_TOKEN", field,
      base::Cat(field, " '", text, "' is ", tokens.size(),
                " tokens: want exactly one (a leading space may belong to it)"),
      {{"text", text}, {"token_count", base::Cat(tokens.size())}});
}

}  // namespace spar::service
