// L1, tokenizers. Tokens that are recognised in the text itself.
#include "models/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "models/text/unicode_sets.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

constexpr size_t kMaxContentBytes = 1024;

bool WordBefore(std::string_view text, size_t at) {
  return at > 0 &&
         IsWord(NextUtf8(text, LastCodePoint(text.substr(0, at))).code_point);
}

bool WordAfter(std::string_view text, size_t at) {
  return at < text.size() && IsWord(NextUtf8(text, at).code_point);
}

// Back over the spaces before `at`, not beyond `least`.
size_t BeforeSpaces(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    const size_t last = LastCodePoint(text.substr(0, at));
    if (last < least || !IsSpace(NextUtf8(text, last).code_point)) break;
    at = last;
  }
  return at;
}

size_t AfterSpaces(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Step step = NextUtf8(text, at);
    if (!IsSpace(step.code_point)) break;
    at += step.size;
  }
  return at;
}

uint64_t Edge(int node, char byte) {
  return uint64_t{static_cast<uint32_t>(node)} << 8 |
         static_cast<uint8_t>(byte);
}

}  // namespace

void TokenFinder::Add(std::string_view content, const AddedToken& token) {
  if (content.empty()) return;
  int node = 0;
  for (const char byte : content) {
    const auto [edge, is_new] = edges_.try_emplace(
        Edge(node, byte), static_cast<int>(token_at_node_.size()));
    if (is_new) token_at_node_.push_back(-1);
    node = edge->second;
  }
  if (token_at_node_[node] >= 0) return;  // the first of equal ones stays
  token_at_node_[node] = static_cast<int>(tokens_.size());
  tokens_.push_back(token);
  starts_[static_cast<uint8_t>(content[0])] = true;
}

std::optional<TokenFinder::Match> TokenFinder::LongestAt(std::string_view text,
                                                         size_t at) const {
  if (!starts_[static_cast<uint8_t>(text[at])]) return std::nullopt;
  std::optional<Match> longest;
  int node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto edge = edges_.find(Edge(node, text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (token_at_node_[node] >= 0) {
      longest =
          Match{.size = i + 1 - at, .token = &tokens_[token_at_node_[node]]};
    }
  }
  return longest;
}

std::vector<Segment> TokenFinder::Cut(std::string_view text,
                                      bool parse_special) const {
  std::vector<Segment> segments;
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !tokens_.empty();) {
    const std::optional<Match> match = LongestAt(text, at);
    if (!match) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + match->size;
    at = end;
    const AddedToken& token = *match->token;
    if (token.special && !parse_special) continue;
    if (token.single_word &&
        (WordBefore(text, begin) || WordAfter(text, end))) {
      continue;
    }
    if (token.lstrip) {
      begin = std::max(done, BeforeSpaces(text, begin, done));
    }
    if (token.rstrip) end = AfterSpaces(text, end);
    if (done < begin) segments.push_back({.begin = done, .end = begin});
    segments.push_back({.token = token.id, .begin = begin, .end = end});
    done = end;
  }
  if (done < text.size())
    segments.push_back({.begin = done, .end = text.size()});
  return segments;
}

const AddedToken* AddedTokens::Find(TokenId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

int AddedTokens::size() const {
  return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1;
}

absl::Status AddedTokens::AddId(const AddedToken& token,
                                const Vocabulary& vocabulary,
                                const Place& place) {
  const auto bad = [&](std::string_view why) {
    return BadTokenizer(
        place,
        base::Cat("\"", token.content, "\" with id ", token.id, ": ", why),
        {{"id", base::Cat(token.id)}});
  };
  if (token.content.size() > kMaxContentBytes) {
    return bad(base::Cat("longer than ", kMaxContentBytes, " bytes"));
  }
  const auto known = vocabulary.IdOf(token.content);
  if (known && *known != token.id) {
    return bad(base::Cat("the vocabulary gives it id ", *known));
  }
  const std::string* other = vocabulary.TokenOf(token.id);
  if (other != nullptr && *other != token.content) {
    return bad(base::Cat("the id is that of \"", *other, "\""));
  }
  if (!contents_.insert(token.content).second) {
    return bad("the token is there twice");
  }
  // The library numbers tokens itself and ignores what the file says.
  const int next = std::max(vocabulary.num_tokens(), size());
  if (!known && token.id != next) {
    return bad(base::Cat("new tokens are numbered from ", next));
  }
  by_id_.emplace(token.id, token);
  return absl::OkStatus();
}

absl::StatusOr<AddedTokens> AddedTokens::Make(
    const std::vector<AddedToken>& tokens,
    const Vocabulary& vocabulary,
    const Normalizer* normalizer,
    const Place& place) {
  AddedTokens added;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].content.empty()) continue;  // as the library does
    RETURN_IF_ERROR(added.AddId(tokens[i], vocabulary, place.Element(i)));
  }
  // Special ones first: of two that normalize alike, the first is found.
  for (const bool special : {true, false}) {
    for (const AddedToken& token : tokens) {
      if (token.special != special || token.content.empty()) continue;
      std::string content = token.content;
      if (token.normalized && normalizer != nullptr) {
        RETURN_IF_ERROR(normalizer->Apply(&content));
      }
      (token.normalized ? added.normalized_ : added.raw_).Add(content, token);
      added.by_id_[token.id].text = std::move(content);
    }
  }
  return added;
}

absl::StatusOr<AddedToken> ReadAddedToken(const JsonObject& object,
                                          std::optional<TokenId> id) {
  RETURN_IF_ERROR(
      object.OnlyHas({"id", "content", "single_word", "lstrip", "rstrip",
                      "normalized", "special", "__type"}));
  AddedToken token;
  if (id) {
    token.id = *id;
  } else {
    ASSIGN_OR_RETURN(token.id, object.Index("id", kMaxTokenId));
  }
  ASSIGN_OR_RETURN(token.content, object.String("content"));
  ASSIGN_OR_RETURN(token.special, object.Bool("special", false));
  ASSIGN_OR_RETURN(token.single_word, object.Bool("single_word", false));
  ASSIGN_OR_RETURN(token.lstrip, object.Bool("lstrip", false));
  ASSIGN_OR_RETURN(token.rstrip, object.Bool("rstrip", false));
  ASSIGN_OR_RETURN(token.normalized, object.Bool("normalized", !token.special));
  return token;
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const Json& value,
                                                        const Place& place) {
  if (!value.is_array()) return BadTokenizer(place, "want an array");
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < value.size(); ++i) {
    ASSIGN_OR_RETURN(const JsonObject object,
                     JsonObject::Of(value[i], place.Element(i)));
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(object, std::nullopt));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace spar::models::text
