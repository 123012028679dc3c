// L1, tokenizers. Byte-pair encoding on a linked list of symbols, with a heap
// of the pairs that can merge.
#include "models/text/bpe.h"

#include <algorithm>
#include <cstdint>

#include "base/status.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

struct Merge {
  uint32_t rank = 0;
  TokenId made = 0;
};

using MergeTable = absl::flat_hash_map<uint64_t, Merge>;

uint64_t PairKey(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 |
         static_cast<uint32_t>(right);
}

// One word in the making. Reused from word to word.
class Word {
 public:
  explicit Word(const MergeTable& merges) : merges_(merges) {}

  void Clear() {
    symbols_.clear();
    heap_.clear();
  }

  void Add(TokenId id) {
    const int at = static_cast<int>(symbols_.size());
    if (at > 0) symbols_[at - 1].next = at;
    symbols_.push_back({.id = id, .previous = at - 1});
  }

  void MergeAll() {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) Offer(i);
    std::make_heap(heap_.begin(), heap_.end());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Candidate top = heap_.back();
      heap_.pop_back();
      if (IsCurrent(top)) Join(top);
    }
  }

  void AppendTo(std::vector<TokenId>* ids) const {
    if (symbols_.empty()) return;
    for (int at = 0; at >= 0; at = symbols_[at].next) {
      ids->push_back(symbols_[at].id);
    }
  }

 private:
  struct Symbol {
    TokenId id = 0;
    int previous = -1;
    int next = -1;
    bool gone = false;  // merged into the one before it
  };

  struct Candidate {
    uint32_t rank = 0;
    int at = 0;  // the left symbol
    TokenId made = 0;

    // Best first: the standard heap has the greatest on top.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  const Merge* Find(int at) const {
    const Symbol& left = symbols_[at];
    if (left.gone || left.next < 0) return nullptr;
    const auto found = merges_.find(PairKey(left.id, symbols_[left.next].id));
    return found == merges_.end() ? nullptr : &found->second;
  }

  void Offer(int at) {
    const Merge* merge = Find(at);
    if (merge == nullptr) return;
    heap_.push_back({.rank = merge->rank, .at = at, .made = merge->made});
  }

  // A candidate is stale when its symbols have changed. As in the reference
  // implementation, a pair that now makes the same token will do.
  bool IsCurrent(const Candidate& candidate) const {
    const Merge* merge = Find(candidate.at);
    return merge != nullptr && merge->made == candidate.made;
  }

  void Join(const Candidate& candidate) {
    Symbol& left = symbols_[candidate.at];
    Symbol& right = symbols_[left.next];
    left.id = candidate.made;
    left.next = right.next;
    right.gone = true;
    if (left.next >= 0) symbols_[left.next].previous = candidate.at;
    if (left.previous >= 0) Push(left.previous);
    Push(candidate.at);
  }

  void Push(int at) {
    const size_t before = heap_.size();
    Offer(at);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end());
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

class Bpe final : public TokenModel {
 public:
  Bpe(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
      : vocabulary_(std::move(vocabulary)),
        merges_(std::move(merges)),
        options_(std::move(options)),
        unknown_(options_.unknown_token
                     ? vocabulary_.IdOf(*options_.unknown_token)
                     : std::nullopt) {}

  absl::Status Encode(std::span<const Piece> words,
                      std::vector<TokenId>* ids) const override {
    Word word(merges_);
    for (const Piece& piece : words) {
      if (options_.ignore_merges) {
        if (const auto id = vocabulary_.IdOf(piece.text)) {
          ids->push_back(*id);
          continue;
        }
      }
      word.Clear();
      RETURN_IF_ERROR(AddCharacters(piece.text, &word));
      word.MergeAll();
      word.AppendTo(ids);
    }
    return absl::OkStatus();
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  absl::Status AddCharacters(std::string_view text, Word* word) const {
    bool unknown_waits = false;  // so that neighbours can join it
    for (size_t at = 0; at < text.size();) {
      const size_t size = NextUtf8(text, at).size;
      const bool last = at + size == text.size();
      const std::string_view character = text.substr(at, size);
      const std::string decorated = Decorated(character, at == 0, last);
      const std::string_view symbol =
          decorated.empty() ? character : std::string_view(decorated);
      at += size;
      if (const auto id = vocabulary_.IdOf(symbol)) {
        if (unknown_waits) word->Add(*unknown_);
        unknown_waits = false;
        word->Add(*id);
      } else if (options_.byte_fallback && AddBytes(symbol, word)) {
        // A waiting unknown stays behind the bytes, as in the reference.
      } else if (!unknown_) {
        return Unencodable(symbol);
      } else {
        if (unknown_waits && !options_.fuse_unknown) word->Add(*unknown_);
        unknown_waits = true;
      }
    }
    if (unknown_waits) word->Add(*unknown_);
    return absl::OkStatus();
  }

  // Empty when there is nothing to add.
  std::string Decorated(std::string_view character,
                        bool first,
                        bool last) const {
    const bool prefix = !first && !options_.continuing_prefix.empty();
    const bool suffix = last && !options_.end_suffix.empty();
    if (!prefix && !suffix) return {};
    return base::Cat(prefix ? options_.continuing_prefix : std::string(),
                     character, suffix ? options_.end_suffix : std::string());
  }

  // False, and nothing added, when the token of one of the bytes is missing.
  bool AddBytes(std::string_view bytes, Word* word) const {
    constexpr char kHex[] = "0123456789ABCDEF";
    std::vector<TokenId> ids;
    for (const char c : bytes) {
      const auto byte = static_cast<uint8_t>(c);
      const char token[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15],
                            '>'};
      const auto id = vocabulary_.IdOf(std::string_view(token, sizeof(token)));
      if (!id) return false;
      ids.push_back(*id);
    }
    for (const TokenId id : ids) word->Add(id);
    return true;
  }

  const Vocabulary vocabulary_;
  const MergeTable merges_;
  const BpeOptions options_;
  const std::optional<TokenId> unknown_;
};

absl::StatusOr<MergePair> ReadMerge(const Json& value, const Place& place) {
  if (value.is_string()) {
    auto pair = SplitMerge(value.get_ref<const std::string&>());
    if (pair) return *std::move(pair);
  }
  if (value.is_array() && value.size() == 2 && value[0].is_string() &&
      value[1].is_string()) {
    return MergePair(value[0].get<std::string>(), value[1].get<std::string>());
  }
  return BadTokenizer(place, "want \"left right\" or [\"left\", \"right\"]");
}

absl::StatusOr<std::vector<MergePair>> ReadMerges(const JsonObject& object) {
  ASSIGN_OR_RETURN(const Json* array, object.Array("merges"));
  std::vector<MergePair> merges;
  merges.reserve(array->size());
  const Place place = object.place().Member("merges");
  for (size_t i = 0; i < array->size(); ++i) {
    const Json& value = (*array)[i];
    if (i == 0 && value.is_string() &&
        value.get_ref<const std::string&>().starts_with("#version")) {
      continue;
    }
    ASSIGN_OR_RETURN(MergePair merge, ReadMerge(value, place.Element(i)));
    merges.push_back(std::move(merge));
  }
  return merges;
}

absl::Status RefuseDropout(const JsonObject& object) {
  const Json* dropout = object.Find("dropout");
  if (dropout == nullptr || (dropout->is_number() && *dropout == 0)) {
    return absl::OkStatus();
  }
  return BadTokenizer(object.place().Member("dropout"),
                      base::Cat(dropout->dump(),
                                ": want none, for it makes "
                                "ids random"));
}

}  // namespace

std::optional<MergePair> SplitMerge(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos ||
      line.find(' ', space + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return MergePair(std::string(line.substr(0, space)),
                   std::string(line.substr(space + 1)));
}

absl::StatusOr<std::unique_ptr<TokenModel>> MakeBpe(
    Vocabulary vocabulary,
    const std::vector<MergePair>& merges,
    BpeOptions options,
    const Place& merges_place) {
  MergeTable table;
  table.reserve(merges.size());
  const size_t prefix = options.continuing_prefix.size();
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& [left, right] = merges[i];
    const auto unknown = [&](std::string_view token) {
      return BadTokenizer(merges_place.Element(i),
                          base::Cat("\"", token, "\" is not in the vocabulary"),
                          {{"merge", base::Cat(i)}});
    };
    const auto left_id = vocabulary.IdOf(left);
    if (!left_id) return unknown(left);
    const auto right_id = vocabulary.IdOf(right);
    if (!right_id) return unknown(right);
    if (!std::string_view(right).starts_with(options.continuing_prefix)) {
      return BadTokenizer(merges_place.Element(i),
                          base::Cat("\"", right, "\" lacks the prefix \"",
                                    options.continuing_prefix, "\""));
    }
    const std::string made =
        base::Cat(left, std::string_view(right).substr(prefix));
    const auto made_id = vocabulary.IdOf(made);
    if (!made_id) return unknown(made);
    table[PairKey(*left_id, *right_id)] = {.rank = static_cast<uint32_t>(i),
                                           .made = *made_id};
  }
  return std::unique_ptr<TokenModel>(std::make_unique<Bpe>(
      std::move(vocabulary), std::move(table), std::move(options)));
}

absl::StatusOr<std::unique_ptr<TokenModel>> ReadBpe(const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas(
      {"type", "dropout", "unk_token", "continuing_subword_prefix",
       "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
       "vocab", "merges"}));
  RETURN_IF_ERROR(RefuseDropout(object));
  BpeOptions options;
  ASSIGN_OR_RETURN(options.unknown_token, object.OptionalString("unk_token"));
  ASSIGN_OR_RETURN(const auto prefix,
                   object.OptionalString("continuing_subword_prefix"));
  ASSIGN_OR_RETURN(const auto suffix,
                   object.OptionalString("end_of_word_suffix"));
  options.continuing_prefix = prefix.value_or("");
  options.end_suffix = suffix.value_or("");
  ASSIGN_OR_RETURN(options.fuse_unknown, object.Bool("fuse_unk", false));
  ASSIGN_OR_RETURN(options.byte_fallback, object.Bool("byte_fallback", false));
  ASSIGN_OR_RETURN(options.ignore_merges, object.Bool("ignore_merges", false));
  ASSIGN_OR_RETURN(const Json* vocab, object.Need("vocab"));
  ASSIGN_OR_RETURN(Vocabulary vocabulary,
                   Vocabulary::Read(*vocab, object.place().Member("vocab")));
  ASSIGN_OR_RETURN(const std::vector<MergePair> merges, ReadMerges(object));
  return MakeBpe(std::move(vocabulary), merges, std::move(options),
                 object.place().Member("merges"));
}

}  // namespace spar::models::text
