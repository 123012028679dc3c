// L1, tokenizers. The decoders of tokenizer.json.
#include "models/text/decoder.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "base/status.h"
#include "models/text/byte_alphabet.h"
#include "models/text/metaspace.h"
#include "models/text/pattern.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

using DecoderPtr = std::unique_ptr<Decoder>;

class ByteLevel final : public Decoder {
 public:
  void Apply(std::vector<std::string>* tokens) const override {
    std::string bytes;
    for (const std::string& token : *tokens) bytes += AlphabetToBytes(token);
    *tokens = {ReplaceInvalidUtf8(bytes)};
  }
  std::string OneToken(std::string token) const override {
    return AlphabetToBytes(token);
  }
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte of a token like <0x0A>.
std::optional<char> ByteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') {
    return std::nullopt;
  }
  const int high = HexDigit(token[3]);
  const int low = HexDigit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

class ByteFallback final : public Decoder {
 public:
  void Apply(std::vector<std::string>* tokens) const override {
    std::vector<std::string> decoded;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) return;
      // All or nothing: one bad byte spoils its whole run.
      if (IsValidUtf8(run)) {
        decoded.push_back(run);
      } else {
        decoded.insert(decoded.end(), run.size(), "\xEF\xBF\xBD");
      }
      run.clear();
    };
    for (std::string& token : *tokens) {
      const std::optional<char> byte = ByteOf(token);
      if (byte) {
        run += *byte;
      } else {
        flush();
        decoded.push_back(std::move(token));
      }
    }
    flush();
    *tokens = std::move(decoded);
  }
  std::string OneToken(std::string token) const override {
    const std::optional<char> byte = ByteOf(token);
    return byte ? std::string(1, *byte) : token;
  }
};

class Fuse final : public Decoder {
 public:
  void Apply(std::vector<std::string>* tokens) const override {
    std::string fused;
    for (const std::string& token : *tokens) fused += token;
    *tokens = {std::move(fused)};
  }
  std::string OneToken(std::string token) const override { return token; }
};

class Strip final : public Decoder {
 public:
  Strip(std::string content, int start, int stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}

  void Apply(std::vector<std::string>* tokens) const override {
    for (std::string& token : *tokens) {
      std::string_view rest = token;
      for (int i = 0; i < start_ && rest.starts_with(content_); ++i) {
        rest.remove_prefix(content_.size());
      }
      for (int i = 0; i < stop_ && rest.ends_with(content_); ++i) {
        rest.remove_suffix(content_.size());
      }
      token = std::string(rest);
    }
  }
  std::string OneToken(std::string token) const override { return token; }

 private:
  const std::string content_;  // one character
  const int start_;
  const int stop_;
};

class Replace final : public Decoder {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void Apply(std::vector<std::string>* tokens) const override {
    for (std::string& token : *tokens) token = OneToken(std::move(token));
  }
  std::string OneToken(std::string token) const override {
    const absl::StatusOr<std::vector<Span>> spans = pattern_.Cut(token);
    if (!spans.ok()) return token;  // an expression that gave up
    std::string replaced;
    for (const Span& span : *spans) {
      replaced += span.match ? std::string_view(content_)
                             : std::string_view(token).substr(
                                   span.begin, span.end - span.begin);
    }
    return replaced;
  }

 private:
  const Pattern pattern_;
  const std::string content_;
};

class BpeSuffix final : public Decoder {
 public:
  explicit BpeSuffix(std::string suffix) : suffix_(std::move(suffix)) {}

  void Apply(std::vector<std::string>* tokens) const override {
    for (size_t i = 0; i < tokens->size(); ++i) {
      (*tokens)[i] = Without((*tokens)[i], i + 1 == tokens->size() ? "" : " ");
    }
  }
  std::string OneToken(std::string token) const override {
    return Without(token, " ");
  }

 private:
  std::string Without(std::string_view token, std::string_view with) const {
    std::string text;
    for (size_t at = 0; at < token.size();) {
      if (token.substr(at).starts_with(suffix_)) {
        text += with;
        at += suffix_.size();
      } else {
        text += token[at++];
      }
    }
    return text;
  }

  const std::string suffix_;  // not empty
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<DecoderPtr> parts) : parts_(std::move(parts)) {}

  void Apply(std::vector<std::string>* tokens) const override {
    for (const DecoderPtr& part : parts_) part->Apply(tokens);
  }
  std::string OneToken(std::string token) const override {
    for (const DecoderPtr& part : parts_) {
      token = part->OneToken(std::move(token));
    }
    return token;
  }

 private:
  const std::vector<DecoderPtr> parts_;
};

constexpr int kMaxStrip = 1 << 20;

absl::StatusOr<DecoderPtr> ReadStrip(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "content", "start", "stop"}));
  ASSIGN_OR_RETURN(std::string content, object.String("content"));
  if (content.empty() || NextUtf8(content, 0).size != content.size()) {
    return BadTokenizer(object.place().Member("content"), "want one character");
  }
  ASSIGN_OR_RETURN(const int start, object.Index("start", kMaxStrip));
  ASSIGN_OR_RETURN(const int stop, object.Index("stop", kMaxStrip));
  return DecoderPtr(std::make_unique<Strip>(std::move(content), start, stop));
}

absl::StatusOr<DecoderPtr> ReadReplace(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "pattern", "content"}));
  ASSIGN_OR_RETURN(const Json* pattern_value, object.Need("pattern"));
  ASSIGN_OR_RETURN(
      Pattern pattern,
      Pattern::Read(*pattern_value, object.place().Member("pattern")));
  ASSIGN_OR_RETURN(std::string content, object.String("content"));
  return DecoderPtr(
      std::make_unique<Replace>(std::move(pattern), std::move(content)));
}

absl::StatusOr<DecoderPtr> ReadBpeSuffix(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "suffix"}));
  ASSIGN_OR_RETURN(std::string suffix, object.String("suffix"));
  if (suffix.empty()) {
    return BadTokenizer(object.place().Member("suffix"), "is empty");
  }
  return DecoderPtr(std::make_unique<BpeSuffix>(std::move(suffix)));
}

absl::StatusOr<DecoderPtr> ReadSequence(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "decoders"}));
  ASSIGN_OR_RETURN(const Json* array, object.Array("decoders"));
  const Place place = object.place().Member("decoders");
  std::vector<DecoderPtr> parts;
  for (size_t i = 0; i < array->size(); ++i) {
    ASSIGN_OR_RETURN(DecoderPtr part,
                     ReadDecoder((*array)[i], place.Element(i)));
    parts.push_back(std::move(part));
  }
  return DecoderPtr(std::make_unique<Sequence>(std::move(parts)));
}

}  // namespace

absl::StatusOr<DecoderPtr> ReadDecoder(const Json& value, const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return ReadSequence(object);
  if (type == "Strip") return ReadStrip(object);
  if (type == "Replace") return ReadReplace(object);
  if (type == "Metaspace") return ReadMetaspaceDecoder(object);
  if (type == "BPEDecoder") return ReadBpeSuffix(object);
  if (type == "ByteLevel") {
    RETURN_IF_ERROR(object.OnlyHas(
        {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
    return MakeByteLevelDecoder();
  }
  RETURN_IF_ERROR(object.OnlyHas({"type"}));
  if (type == "ByteFallback")
    return DecoderPtr(std::make_unique<ByteFallback>());
  if (type == "Fuse") return DecoderPtr(std::make_unique<Fuse>());
  return BadTokenizer(
      place.Member("type"),
      base::Cat("\"", type, "\" is a decoder this server does not know"));
}

DecoderPtr MakeByteLevelDecoder() {
  return std::make_unique<ByteLevel>();
}

}  // namespace spar::models::text
