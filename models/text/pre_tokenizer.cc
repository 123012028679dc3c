// L1, tokenizers. The pre-tokenizers of tokenizer.json.
#include "models/text/pre_tokenizer.h"

#include <utility>

#include "base/status.h"
#include "models/text/byte_alphabet.h"
#include "models/text/metaspace.h"
#include "models/text/split.h"
#include "models/text/unicode_sets.h"

namespace spar::models::text {
namespace {

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

// Oniguruma's dialect, as Pattern::Regex takes it.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)"
    R"(|\s+(?!\S)|\s+)";
// Newer punctuation than the library's table for this has.
constexpr std::string_view kNoPunctuation =
    R"([\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b4e}-\x{1b4f})"
    R"(\x{1b7d}-\x{1b7f}\x{2e43}-\x{2e4f}\x{2e52}-\x{2e5d}\x{10d6e})"
    R"(\x{10ead}\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{113d4}-\x{113d5})"
    R"(\x{113d7}-\x{113d8}\x{1144b}-\x{1144f}\x{1145a}-\x{1145b}\x{1145d})"
    R"(\x{11660}-\x{1166c}\x{116b9}\x{1183b}\x{11944}-\x{11946}\x{119e2})"
    R"(\x{11a3f}-\x{11a46}\x{11a9a}-\x{11a9c}\x{11a9e}-\x{11aa2})"
    R"(\x{11b00}-\x{11b09}\x{11be1}\x{11c41}-\x{11c45}\x{11c70}-\x{11c71})"
    R"(\x{11ef7}-\x{11ef8}\x{11f43}-\x{11f4f}\x{11fff}\x{12ff1}-\x{12ff2})"
    R"(\x{16d6d}-\x{16d6f}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e5ff})"
    R"(\x{1e95e}-\x{1e95f}])";
constexpr std::string_view kPunctuation =
    R"([!-/:-@\[-`{-~\p{P}\x{166d}\x{111c9}])";
// Numbers to Rust that are not yet in \p{N} of Oniguruma.
constexpr std::string_view kNumber =
    R"([\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}])";

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
      kNumber, single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
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
    return MakeSplit(base::Cat("(?!", kNoPunctuation, ")", kPunctuation),
                     behavior, false);
  }
  RETURN_IF_ERROR(object.OnlyHas({"type"}));
  if (type == "Whitespace") {
    const std::string word = WordSet();
    return std::make_unique<Split>(
        Pattern::Known(base::Cat("[", word, "]+|[^", word,
                                 ShorthandSet('s', /*in_class=*/true), "]+")),
        SplitBehavior::kRemoved, true);
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
