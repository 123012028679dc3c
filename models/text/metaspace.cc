// L1, tokenizers. Metaspace as a pre-tokenizer and as a decoder.
#include "models/text/metaspace.h"

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/text/split.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

enum class PrependScheme { kAlways, kNever, kFirst };

struct MetaspaceOptions {
  std::string replacement = "\xE2\x96\x81";  // U+2581
  PrependScheme prepend = PrependScheme::kAlways;
  bool split = true;
};

std::string ReplaceAll(std::string_view text,
                       std::string_view what,
                       std::string_view with) {
  std::string replaced;
  for (size_t at = 0; at < text.size();) {
    const size_t found = text.find(what, at);
    replaced += text.substr(at, found - at);
    if (found == std::string_view::npos) break;
    replaced += with;
    at = found + what.size();
  }
  return replaced;
}

absl::StatusOr<MetaspaceOptions> ReadOptions(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "replacement", "prepend_scheme",
                                  "split", "add_prefix_space", "str_rep"}));
  MetaspaceOptions options;
  ASSIGN_OR_RETURN(options.replacement, object.String("replacement"));
  if (options.replacement.empty() ||
      NextUtf8(options.replacement, 0).size != options.replacement.size()) {
    return BadTokenizer(object.place().Member("replacement"),
                        "want one character");
  }
  ASSIGN_OR_RETURN(options.split, object.Bool("split", true));
  ASSIGN_OR_RETURN(const auto scheme, object.OptionalString("prepend_scheme"));
  if (scheme == "never") {
    options.prepend = PrependScheme::kNever;
  } else if (scheme == "first") {
    options.prepend = PrependScheme::kFirst;
  } else if (scheme && scheme != "always") {
    return BadTokenizer(object.place().Member("prepend_scheme"),
                        base::Cat("\"", *scheme,
                                  "\": want always, first or "
                                  "never"));
  }
  ASSIGN_OR_RETURN(const bool prefix, object.Bool("add_prefix_space", true));
  if (!prefix && scheme && options.prepend != PrependScheme::kNever) {
    return BadTokenizer(object.place().Member("add_prefix_space"),
                        "contradicts prepend_scheme");
  }
  if (!prefix) options.prepend = PrependScheme::kNever;
  return options;
}

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  MetaspacePreTokenizer(MetaspaceOptions options, Pattern replacement)
      : options_(std::move(options)), replacement_(std::move(replacement)) {}

  absl::Status Apply(std::vector<Piece>* pieces) const override {
    for (Piece& piece : *pieces) {
      piece.text = ReplaceAll(piece.text, " ", options_.replacement);
      const bool wanted =
          options_.prepend == PrependScheme::kAlways ||
          (options_.prepend == PrependScheme::kFirst && piece.first);
      if (wanted && !piece.text.starts_with(options_.replacement)) {
        piece.text.insert(0, options_.replacement);
      }
    }
    if (!options_.split) return absl::OkStatus();
    return SplitPieces(replacement_, SplitBehavior::kMergedWithNext, false,
                       pieces);
  }

 private:
  const MetaspaceOptions options_;
  const Pattern replacement_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(MetaspaceOptions options)
      : options_(std::move(options)) {}

  void Apply(std::vector<std::string>* tokens) const override {
    for (size_t i = 0; i < tokens->size(); ++i) {
      const bool drop = i == 0 && options_.prepend != PrependScheme::kNever;
      (*tokens)[i] =
          ReplaceAll((*tokens)[i], options_.replacement, drop ? "" : " ");
    }
  }
  std::string OneToken(std::string token) const override {
    return ReplaceAll(token, options_.replacement, " ");
  }

 private:
  const MetaspaceOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadMetaspacePreTokenizer(
    const JsonObject& object) {
  ASSIGN_OR_RETURN(MetaspaceOptions options, ReadOptions(object));
  ASSIGN_OR_RETURN(Pattern pattern,
                   Pattern::Literal(options.replacement, object.place()));
  return std::unique_ptr<PreTokenizer>(std::make_unique<MetaspacePreTokenizer>(
      std::move(options), std::move(pattern)));
}

absl::StatusOr<std::unique_ptr<Decoder>> ReadMetaspaceDecoder(
    const JsonObject& object) {
  ASSIGN_OR_RETURN(MetaspaceOptions options, ReadOptions(object));
  return std::unique_ptr<Decoder>(
      std::make_unique<MetaspaceDecoder>(std::move(options)));
}

}  // namespace spar::models::text
