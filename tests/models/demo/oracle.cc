// See oracle.h.
#include "tests/models/demo/oracle.h"

#include <algorithm>
#include <map>
#include <set>

namespace spar::demo {
namespace {

bool Has(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The words after the last "." but `sentences` of them.
Words LastSentences(const Words& prompt, int sentences) {
  auto begin = prompt.end();
  int left = sentences;
  while (begin != prompt.begin()) {
    if (*(begin - 1) == "." && --left == 0) break;
    --begin;
  }
  return Words(begin, prompt.end());
}

std::string Syntax(const Words& prompt) {
  const std::map<std::string, std::string> fixed = {
      {"either", "or"}, {"neither", "nor"}, {"both", "and"}, {"between", "and"},
      {"from", "to"},   {"more", "than"},   {"as", "as"},    {"so", "that"},
      {"too", "to"},    {"if", "then"},     {"only", "but"}};
  const std::map<std::string, std::string> governed = {
      {"depends", "on"},     {"listens", "to"},      {"looks", "at"},
      {"waits", "for"},      {"believes", "in"},     {"laughs", "at"},
      {"thinks", "about"},   {"belongs", "to"},      {"relies", "on"},
      {"suffers", "from"},   {"complains", "about"}, {"afraid", "of"},
      {"proud", "of"},       {"interested", "in"},   {"similar", "to"},
      {"different", "from"}, {"married", "to"},      {"responsible", "for"}};
  const Words last = LastSentences(prompt, 1);
  const auto verb = governed.find(last.back());
  if (verb != governed.end()) return verb->second;
  for (const std::string& word : last) {
    const auto found = fixed.find(word);
    if (found != fixed.end()) return found->second;
  }
  return "";
}

// Whether some fact about someone or something in the text has this answer.
bool IsKnownFact(const Words& text, const std::string& answer) {
  for (const Relation& relation : TheWorld().relations) {
    for (const auto& fact : relation.facts) {
      if (fact[1] == answer && Has(text, fact[0])) return true;
    }
  }
  return false;
}

std::string Opposite(const Words& prompt) {
  std::map<std::string, std::string> other;
  for (const auto& [a, b] : TheWorld().opposites) {
    other[a] = b;
    other[b] = a;
  }
  Words text = LastSentences(prompt, 1);
  const auto opposes = [&](const std::string& word) {
    return other.contains(word);
  };
  if (std::none_of(text.begin(), text.end(), opposes)) {
    // "it is", "the door is": the sentence before says of what.
    if (Has(text, "but")) return "";
    if (!Has(text, "it") && text.front() != "the") return "";
    text = LastSentences(prompt, 2);
  }
  const auto named = std::find_if(text.rbegin(), text.rend(), opposes);
  if (named == text.rend()) return "";
  // Its own sentence and what follows it.
  const auto before = std::find(named, text.rend(), ".");
  int turns = 0;
  for (const char* word : {"not", "never", "no", "false", "nobody"}) {
    turns += static_cast<int>(std::count(text.rbegin(), before, word));
  }
  return turns % 2 == 1 ? other.at(*named) : *named;
}

std::string Agreement(const Words& prompt) {
  const Words text = LastSentences(prompt, 1);
  const World& world = TheWorld();
  const bool pair = text.size() > 1 && text[1] == "and";
  // 0 she, 1 he, 2 they, 3 it: of the first noun or name.
  int kind = -1;
  bool plural = pair;
  for (const std::string& word : text) {
    const auto match = [&](const std::vector<Noun>& nouns, int value) {
      for (const Noun& noun : nouns) {
        if (word != noun.singular && word != noun.plural) continue;
        plural = plural || word == noun.plural;
        kind = value;
      }
    };
    if (Has(world.women, word)) kind = 0;
    if (Has(world.men, word)) kind = 1;
    match(world.women_nouns, 0);
    match(world.men_nouns, 1);
    match(world.things, 3);
    if (kind >= 0) break;
  }
  if (text.back() == "because") {
    return plural ? "they" : kind == 0 ? "she" : "he";
  }
  if (text.back() == "lost")
    return plural ? "their" : kind == 0 ? "her" : "his";
  if (text.front() == "yesterday") return plural ? "were" : "was";
  if (text.front() == "since") return plural ? "have" : "has";
  return plural ? "are" : "is";
}

std::string Induction(const Words& prompt) {
  // The word after the earlier place where the longest end of the prompt stood.
  size_t longest = 0;
  std::string answer;
  for (size_t end = 1; end < prompt.size(); ++end) {
    size_t match = 0;
    while (match < end &&
           prompt[end - 1 - match] == prompt[prompt.size() - 1 - match]) {
      ++match;
    }
    if (match >= longest && match > 0) {
      longest = match;
      answer = prompt[end];
    }
  }
  if (prompt.back() == "again") {
    return LastSentences(prompt, 1).front();
  }
  return answer;
}

std::string Brackets(const Words& prompt) {
  const std::map<std::string, std::string> closer = {
      {"(", ")"}, {"[", "]"}, {"{", "}"}};
  Words open;
  for (const std::string& word : prompt) {
    const auto found = closer.find(word);
    if (found != closer.end()) open.push_back(found->second);
    if (!open.empty() && word == open.back()) open.pop_back();
  }
  return open.empty() ? "" : open.back();
}

}  // namespace

bool AnswerFollows(const Query& query) {
  switch (query.type) {
    case QueryType::kSyntax:
      return Syntax(query.prompt) == query.answer;
    case QueryType::kFact:
      return IsKnownFact(LastSentences(query.prompt, 2), query.answer);
    case QueryType::kNegation: {
      const std::string opposite = Opposite(query.prompt);
      if (!opposite.empty()) return opposite == query.answer;
      const Words text = LastSentences(query.prompt, 2);
      return !Has(text, query.answer) && IsKnownFact(text, query.answer);
    }
    case QueryType::kAgreement:
      return Agreement(query.prompt) == query.answer;
    case QueryType::kInduction:
      return Induction(query.prompt) == query.answer;
    case QueryType::kBrackets:
      return Brackets(query.prompt) == query.answer;
  }
  return false;
}

}  // namespace spar::demo
