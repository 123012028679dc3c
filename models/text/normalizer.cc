// L1, tokenizers. The normalizers of tokenizer.json.
#include "models/text/normalizer.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "models/text/normal_form.h"
#include "models/text/pattern.h"
#include "models/text/unicode_sets.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

using NormalizerPtr = std::unique_ptr<Normalizer>;

class InNormalForm final : public Normalizer {
 public:
  explicit InNormalForm(NormalForm form) : form_(form) {}
  absl::Status Apply(std::string* text) const override {
    *text = ToNormalForm(form_, *text);
    return absl::OkStatus();
  }

 private:
  const NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  absl::Status Apply(std::string* text) const override {
    *text = ToLower(*text);
    return absl::OkStatus();
  }
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::Status Apply(std::string* text) const override {
    if (!text->empty()) text->insert(0, prefix_);
    return absl::OkStatus();
  }

 private:
  const std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Apply(std::string* text) const override {
    ASSIGN_OR_RETURN(const std::vector<Span> spans, pattern_.Cut(*text));
    std::string replaced;
    for (const Span& span : spans) {
      replaced += span.match ? std::string_view(content_)
                             : std::string_view(*text).substr(
                                   span.begin, span.end - span.begin);
    }
    *text = std::move(replaced);
    return absl::OkStatus();
  }

 private:
  const Pattern pattern_;
  const std::string content_;
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  absl::Status Apply(std::string* text) const override {
    size_t begin = 0;
    size_t end = text->size();
    while (left_ && begin < end) {
      const Utf8Step step = NextUtf8(*text, begin);
      if (!IsSpace(step.code_point)) break;
      begin += step.size;
    }
    while (right_ && begin < end) {
      const size_t last = LastCodePoint(std::string_view(*text).substr(0, end));
      if (!IsSpace(NextUtf8(*text, last).code_point)) break;
      end = last;
    }
    *text = text->substr(begin, end - begin);
    return absl::OkStatus();
  }

 private:
  const bool left_;
  const bool right_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<NormalizerPtr> parts)
      : parts_(std::move(parts)) {}
  absl::Status Apply(std::string* text) const override {
    for (const NormalizerPtr& part : parts_) RETURN_IF_ERROR(part->Apply(text));
    return absl::OkStatus();
  }

 private:
  const std::vector<NormalizerPtr> parts_;
};

absl::StatusOr<NormalizerPtr> ReadReplace(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "pattern", "content"}));
  ASSIGN_OR_RETURN(const Json* pattern_value, object.Need("pattern"));
  ASSIGN_OR_RETURN(
      Pattern pattern,
      Pattern::Read(*pattern_value, object.place().Member("pattern")));
  if (pattern.MayMatchEmpty()) {  // where the library misbehaves
    return BadTokenizer(object.place().Member("pattern"),
                        "may match nothing at all: want a longer match");
  }
  ASSIGN_OR_RETURN(std::string content, object.String("content"));
  return NormalizerPtr(
      std::make_unique<Replace>(std::move(pattern), std::move(content)));
}

absl::StatusOr<NormalizerPtr> ReadStrip(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "strip_left", "strip_right"}));
  ASSIGN_OR_RETURN(const bool left, object.Bool("strip_left", true));
  ASSIGN_OR_RETURN(const bool right, object.Bool("strip_right", true));
  return NormalizerPtr(std::make_unique<Strip>(left, right));
}

absl::StatusOr<NormalizerPtr> ReadPrepend(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "prepend"}));
  ASSIGN_OR_RETURN(std::string prefix, object.String("prepend"));
  return NormalizerPtr(std::make_unique<Prepend>(std::move(prefix)));
}

absl::StatusOr<NormalizerPtr> ReadSequence(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "normalizers"}));
  ASSIGN_OR_RETURN(const Json* array, object.Array("normalizers"));
  const Place place = object.place().Member("normalizers");
  std::vector<NormalizerPtr> parts;
  for (size_t i = 0; i < array->size(); ++i) {
    ASSIGN_OR_RETURN(NormalizerPtr part,
                     ReadNormalizer((*array)[i], place.Element(i)));
    parts.push_back(std::move(part));
  }
  return NormalizerPtr(std::make_unique<Sequence>(std::move(parts)));
}

}  // namespace

absl::StatusOr<NormalizerPtr> ReadNormalizer(const Json& value,
                                             const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return ReadSequence(object);
  if (type == "Replace") return ReadReplace(object);
  if (type == "Prepend") return ReadPrepend(object);
  if (type == "Strip") return ReadStrip(object);
  RETURN_IF_ERROR(object.OnlyHas({"type"}));
  if (type == "Lowercase") return NormalizerPtr(std::make_unique<Lowercase>());
  const std::optional<NormalForm> form = NormalFormNamed(type);
  if (form) return NormalizerPtr(std::make_unique<InNormalForm>(*form));
  return BadTokenizer(
      place.Member("type"),
      base::Cat("\"", type, "\" is a normalizer this server does not know"));
}

NormalizerPtr MakeNfc() {
  return std::make_unique<InNormalForm>(NormalForm::kC);
}

}  // namespace spar::models::text
