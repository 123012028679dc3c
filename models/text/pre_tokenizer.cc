// L1, tokenizers. The pre-tokenizers of tokenizer.json.
#include "models/text/pre_tokenizer.h"

#include <utility>

#include "base/status.h"
#include "models/text/byte_alphabet.h"
#include "models/text/metaspace.h"
#include "models/text/split.h"

namespace spar::models::text {
namespace {

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

// Oniguruma's dialect, as Pattern::Regex takes it.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)"
    R"(|\s+(?!\S)|\s+)";
constexpr std::string_view kWhitespace = R"(\w+|[^\w\s]+)";
constexpr std::string_view kPunctuation = R"([!-/:-@\[-`{-~\p{P}])";

// `expression` is one of the above: it compiles.
Pattern Own(std::string_view expression) {
  absl::StatusOr<Pattern> pattern = Pattern::Regex(expression, {});
  INVARIANT(pattern.ok());
  return *std::move(pattern);
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  absl::Status Apply(std::vector<Piece>* pieces) const override {
    for (Piece& piece : *pieces) {
      if (add_prefix_space_ && !piece.text.starts_with(' ')) {
        piece.text.insert(0, 1, ' ');
      }
    }
    if (use_regex_) {
      RETURN_IF_ERROR(
          SplitPieces(words_, SplitBehavior::kIsolated, false, pieces));
    }
    for (Piece& piece : *pieces) piece.text = BytesToAlphabet(piece.text);
    return absl::OkStatus();
  }

 private:
  const bool add_prefix_space_;
  const bool use_regex_;
  const Pattern words_ = Own(kGpt2);
};

class Split final : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  absl::Status Apply(std::vector<Piece>* pieces) const override {
    return SplitPieces(pattern_, behavior_, invert_, pieces);
  }

 private:
  const Pattern pattern_;
  const SplitBehavior behavior_;
  const bool invert_;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<PreTokenizerPtr> parts)
      : parts_(std::move(parts)) {}

  absl::Status Apply(std::vector<Piece>* pieces) const override {
    for (const PreTokenizerPtr& part : parts_) {
      RETURN_IF_ERROR(part->Apply(pieces));
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<PreTokenizerPtr> parts_;
};

PreTokenizerPtr MakeSplit(std::string_view expression,
                          SplitBehavior behavior,
                          bool invert) {
  return std::make_unique<Split>(Own(expression), behavior, invert);
}

absl::StatusOr<SplitBehavior> ReadBehavior(const JsonObject& object,
                                           SplitBehavior absent) {
  ASSIGN_OR_RETURN(const auto name, object.OptionalString("behavior"));
  if (!name) return absent;
  const std::optional<SplitBehavior> behavior = SplitBehaviorNamed(*name);
  if (behavior) return *behavior;
  return BadTokenizer(object.place().Member("behavior"),
                      base::Cat("\"", *name, "\" is no split behavior"));
}

absl::StatusOr<PreTokenizerPtr> ReadSplit(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "pattern", "behavior", "invert"}));
  ASSIGN_OR_RETURN(const Json* pattern_value, object.Need("pattern"));
  ASSIGN_OR_RETURN(
      Pattern pattern,
      Pattern::Read(*pattern_value, object.place().Member("pattern")));
  RETURN_IF_ERROR(object.Need("behavior").status());
  ASSIGN_OR_RETURN(const SplitBehavior behavior,
                   ReadBehavior(object, SplitBehavior::kIsolated));
  ASSIGN_OR_RETURN(const bool invert, object.Bool("invert", false));
  return PreTokenizerPtr(
      std::make_unique<Split>(std::move(pattern), behavior, invert));
}

absl::StatusOr<PreTokenizerPtr> ReadByteLevel(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas(
      {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  ASSIGN_OR_RETURN(const bool prefix, object.Bool("add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool use_regex, object.Bool("use_regex", true));
  return PreTokenizerPtr(std::make_unique<ByteLevel>(prefix, use_regex));
}

absl::StatusOr<PreTokenizerPtr> ReadDigits(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "individual_digits"}));
  ASSIGN_OR_RETURN(const bool single, object.Bool("individual_digits", false));
  return MakeSplit(
      "\\p{N}", single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
      false);
}

absl::StatusOr<PreTokenizerPtr> ReadSequence(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "pretokenizers"}));
  ASSIGN_OR_RETURN(const Json* array, object.Array("pretokenizers"));
  const Place place = object.place().Member("pretokenizers");
  std::vector<PreTokenizerPtr> parts;
  for (size_t i = 0; i < array->size(); ++i) {
    ASSIGN_OR_RETURN(PreTokenizerPtr part,
                     ReadPreTokenizer((*array)[i], place.Element(i)));
    parts.push_back(std::move(part));
  }
  return PreTokenizerPtr(std::make_unique<Sequence>(std::move(parts)));
}

}  // namespace

absl::StatusOr<PreTokenizerPtr> ReadPreTokenizer(const Json& value,
                                                 const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return ReadSequence(object);
  if (type == "ByteLevel") return ReadByteLevel(object);
  if (type == "Split") return ReadSplit(object);
  if (type == "Metaspace") return ReadMetaspacePreTokenizer(object);
  if (type == "Digits") return ReadDigits(object);
  if (type == "Punctuation") {
    RETURN_IF_ERROR(object.OnlyHas({"type", "behavior"}));
    ASSIGN_OR_RETURN(const SplitBehavior behavior,
                     ReadBehavior(object, SplitBehavior::kIsolated));
    return MakeSplit(kPunctuation, behavior, false);
  }
  RETURN_IF_ERROR(object.OnlyHas({"type"}));
  if (type == "Whitespace") {
    return MakeSplit(kWhitespace, SplitBehavior::kRemoved, true);
  }
  if (type == "WhitespaceSplit") {
    return MakeSplit("\\s", SplitBehavior::kRemoved, false);
  }
  return BadTokenizer(
      place.Member("type"),
      base::Cat("\"", type, "\" is a pre-tokenizer this server does not know"));
}

PreTokenizerPtr MakeByteLevel(bool add_prefix_space) {
  return std::make_unique<ByteLevel>(add_prefix_space, /*use_regex=*/true);
}

PreTokenizerPtr MakeSplitThenByteLevel(Pattern pattern) {
  std::vector<PreTokenizerPtr> parts;
  parts.push_back(std::make_unique<Split>(std::move(pattern),
                                          SplitBehavior::kIsolated, false));
  parts.push_back(std::make_unique<ByteLevel>(/*add_prefix_space=*/false,
                                              /*use_regex=*/false));
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace spar::models::text
