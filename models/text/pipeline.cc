// L1, tokenizers. Encode and Decode, stage by stage.
#include "models/text/pipeline.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(Stages stages)
      : stages_(std::move(stages)),
        vocab_size_(std::max(stages_.model->vocabulary().size(),
                             stages_.added.size())) {}

  absl::StatusOr<std::vector<TokenId>> Encode(
      std::string_view text, const EncodeOptions& options) const override {
    const std::string valid = ReplaceInvalidUtf8(text);
    std::vector<TokenId> ids;
    const PostProcessor& around = stages_.post_processor;
    if (options.add_special_tokens) ids = around.before;
    for (const Segment& segment :
         stages_.added.raw().Cut(valid, options.parse_special)) {
      if (segment.token) {
        ids.push_back(*segment.token);
        continue;
      }
      std::string part =
          valid.substr(segment.begin, segment.end - segment.begin);
      RETURN_IF_ERROR(EncodePart(std::move(part), segment.begin == 0,
                                 options.parse_special, &ids));
    }
    if (options.add_special_tokens) {
      ids.insert(ids.end(), around.after.begin(), around.after.end());
    }
    return ids;
  }

  std::string Decode(std::span<const TokenId> tokens,
                     bool skip_special) const override {
    std::vector<std::string> texts;
    for (const TokenId id : tokens) {
      if (skip_special && IsSpecial(id)) continue;
      const std::string* text = Text(id);
      if (text != nullptr) texts.push_back(*text);
    }
    std::string decoded;
    if (stages_.decoder == nullptr) {
      for (size_t i = 0; i < texts.size(); ++i) {
        if (i > 0) decoded += ' ';
        decoded += texts[i];
      }
      return decoded;
    }
    stages_.decoder->Apply(&texts);
    for (const std::string& text : texts) decoded += text;
    return decoded;
  }

  std::string TokenText(TokenId token) const override {
    const std::string* text = Text(token);
    if (text == nullptr) return {};
    if (stages_.decoder == nullptr || stages_.added.Find(token) != nullptr) {
      return *text;
    }
    return EscapeInvalidUtf8(stages_.decoder->OneToken(*text));
  }

  int vocab_size() const override { return vocab_size_; }

  bool IsSpecial(TokenId token) const override {
    const AddedToken* added = stages_.added.Find(token);
    return added != nullptr && added->special;
  }

 private:
  // `part` lies between added tokens.
  absl::Status EncodePart(std::string part,
                          bool first,
                          bool parse_special,
                          std::vector<TokenId>* ids) const {
    if (stages_.normalizer != nullptr) {
      RETURN_IF_ERROR(stages_.normalizer->Apply(&part));
    }
    for (const Segment& segment :
         stages_.added.normalized().Cut(part, parse_special)) {
      if (segment.token) {
        ids->push_back(*segment.token);
        continue;
      }
      std::vector<Piece> pieces;
      pieces.push_back(
          {.text = part.substr(segment.begin, segment.end - segment.begin),
           .first = first && segment.begin == 0});
      if (stages_.pre_tokenizer != nullptr) {
        RETURN_IF_ERROR(stages_.pre_tokenizer->Apply(&pieces));
      }
      RETURN_IF_ERROR(stages_.model->Encode(pieces, ids));
    }
    return absl::OkStatus();
  }

  // Null when no token has this id.
  const std::string* Text(TokenId id) const {
    const AddedToken* added = stages_.added.Find(id);
    return added != nullptr ? &added->text
                            : stages_.model->vocabulary().TokenOf(id);
  }

  const Stages stages_;
  const int vocab_size_;
};

absl::Status ReadStages(const JsonObject& object, Stages* stages) {
  const auto place = [&object](std::string_view name) {
    return object.place().Member(name);
  };
  if (const Json* value = object.Find("normalizer")) {
    ASSIGN_OR_RETURN(stages->normalizer,
                     ReadNormalizer(*value, place("normalizer")));
  }
  if (const Json* value = object.Find("pre_tokenizer")) {
    ASSIGN_OR_RETURN(stages->pre_tokenizer,
                     ReadPreTokenizer(*value, place("pre_tokenizer")));
  }
  ASSIGN_OR_RETURN(const Json* model, object.Need("model"));
  ASSIGN_OR_RETURN(stages->model, ReadTokenModel(*model, place("model")));
  if (const Json* value = object.Find("decoder")) {
    ASSIGN_OR_RETURN(stages->decoder, ReadDecoder(*value, place("decoder")));
  }
  ASSIGN_OR_RETURN(const Json* added, object.Array("added_tokens"));
  ASSIGN_OR_RETURN(const std::vector<AddedToken> tokens,
                   ReadAddedTokens(*added, place("added_tokens")));
  ASSIGN_OR_RETURN(
      stages->added,
      AddedTokens::Make(tokens, stages->model->vocabulary(),
                        stages->normalizer.get(), place("added_tokens")));
  if (const Json* value = object.Find("post_processor")) {
    const int vocab_size =
        std::max(stages->model->vocabulary().size(), stages->added.size());
    ASSIGN_OR_RETURN(
        stages->post_processor,
        ReadPostProcessor(*value, vocab_size, place("post_processor")));
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<Tokenizer> MakePipeline(Stages stages) {
  return std::make_unique<Pipeline>(std::move(stages));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> ReadTokenizerJson(
    const Json& value, const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  // truncation and padding are how a training script last called the library;
  // transformers switches both off for every call, and so does Spar.
  RETURN_IF_ERROR(object.OnlyHas({"version", "truncation", "padding",
                                  "added_tokens", "normalizer", "pre_tokenizer",
                                  "post_processor", "decoder", "model"}));
  Stages stages;
  RETURN_IF_ERROR(ReadStages(object, &stages));
  return MakePipeline(std::move(stages));
}

}  // namespace spar::models::text
