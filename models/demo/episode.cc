// L1. The six kinds of episodes. No two draws stand in one list of arguments:
// compilers evaluate those in different orders.
#include "models/demo/episode.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/status.h"
#include "models/demo/templates.h"

namespace spar::demo {
namespace {

constexpr std::string_view kOpeners = "([{";
constexpr std::string_view kClosers = ")]}";

void Add(std::string_view word, bool essential, Episode& episode) {
  episode.words.emplace_back(word);
  episode.essential.push_back(essential);
}

void AddAnswer(std::string_view word, Episode& episode) {
  episode.answers.push_back(static_cast<int>(episode.words.size()));
  Add(word, /*essential=*/true, episode);
}

template <size_t kSize>
std::string_view PickFrom(const std::string_view (&items)[kSize],
                          Random& random) {
  return items[random.Below(static_cast<int>(kSize))];
}

const Noun& PickNoun(Random& random) {
  const World& world = TheWorld();
  const int kind = random.Below(4);
  return random.Pick(kind == 0   ? world.women_nouns
                     : kind == 1 ? world.men_nouns
                                 : world.things);
}

// "the (adjective) noun".
std::string NounPhrase(const std::string& noun, Random& random) {
  std::string text = "the ";
  const int adjectives = random.Below(4);  // half have none
  for (int i = 1; i < adjectives; ++i) {
    text = base::Cat(text, random.Pick(TheWorld().adjectives), " ");
  }
  return base::Cat(text, noun);
}

std::string PersonPhrase(Random& random) {
  const World& world = TheWorld();
  const bool woman = random.Chance(0.5);
  if (random.Chance(0.3)) return random.Pick(woman ? world.women : world.men);
  return NounPhrase(
      random.Pick(woman ? world.women_nouns : world.men_nouns).singular,
      random);
}

// "near the old houses behind the king": `count` phrases of place.
std::string Places(int count, Random& random) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const Noun& noun = PickNoun(random);
    const std::string& form = random.Chance(0.5) ? noun.singular : noun.plural;
    const std::string phrase = NounPhrase(form, random);
    const std::string& preposition = random.Pick(TheWorld().prepositions);
    text = base::Cat(text, i > 0 ? " " : "", preposition, " ", phrase);
  }
  return text;
}

void Syntax(Random& random, Episode& episode) {
  const World& world = TheWorld();
  Slots slots = {{'x', PersonPhrase(random)},
                 {'y', PersonPhrase(random)},
                 {'c', random.Pick(world.cities)},
                 {'d', random.Pick(world.cities)},
                 {'j', random.Pick(world.opposites)[random.Below(2)]}};
  if (random.Chance(0.5)) {
    if (random.Chance(0.4)) {
      slots['x'] = base::Cat(slots['x'], " ", PickFrom(kAdverbs, random));
    }
    Say(PickFrom(kGovernedTemplates, random), slots, episode);
  } else {
    Say(PickFrom(kSyntaxTemplates, random), slots, episode);
  }
}

void Fact(Random& random, Episode& episode) {
  const World& world = TheWorld();
  const Relation& relation = random.Pick(world.relations);
  const auto& [subject, answer] = random.Pick(relation.facts);
  const std::string& phrasing = random.Pick(relation.phrasings);
  Say(phrasing, {{'s', subject}, {'a', answer}}, episode);
  episode.key = base::Cat(subject, "|", phrasing);
}

void Denial(Random& random, Episode& episode) {
  const World& world = TheWorld();
  const Relation& relation = random.Pick(world.relations);
  const auto& [subject, answer] = random.Pick(relation.facts);
  std::string wrong = answer;
  while (wrong == answer) wrong = random.Pick(relation.facts)[1];
  Say(random.Pick(relation.denials),
      {{'s', subject}, {'w', wrong}, {'a', answer}}, episode);
}

void Negation(Random& random, Episode& episode) {
  if (random.Chance(0.4)) return Denial(random, episode);
  const World& world = TheWorld();
  const auto& pair = random.Pick(world.opposites);
  const int side = random.Below(2);
  const Noun& thing = random.Pick(world.things);
  Say(PickFrom(kOppositeTemplates, random),
      {{'n', thing.singular}, {'x', pair[side]}, {'y', pair[1 - side]}},
      episode);
}

void Number(Random& random, Episode& episode) {
  const Noun& noun = PickNoun(random);
  const int plural = random.Below(2);
  const int tense = random.Below(3);
  Say(kNumberTemplates[tense][plural],
      {{'s', NounPhrase(plural == 1 ? noun.plural : noun.singular, random)},
       {'m', Places(random.Between(1, 6), random)},
       {'j', random.Pick(TheWorld().adjectives)}},
      episode);
}

void Pronoun(Random& random, Episode& episode) {
  const World& world = TheWorld();
  const int gender = random.Below(3);  // she, he, they
  std::string subject;
  if (gender == 2 && random.Chance(0.5)) {
    const std::string& man = random.Pick(world.men);
    subject = base::Cat(random.Pick(world.women), " and ", man);
  } else if (gender == 2) {
    const auto& nouns =
        random.Chance(0.5) ? world.women_nouns : world.men_nouns;
    subject = NounPhrase(random.Pick(nouns).plural, random);
  } else if (random.Chance(0.5)) {
    subject = random.Pick(gender == 0 ? world.women : world.men);
  } else {
    const auto& nouns = gender == 0 ? world.women_nouns : world.men_nouns;
    subject = NounPhrase(random.Pick(nouns).singular, random);
  }
  const std::string places = Places(random.Between(1, 6), random);
  Say(kPronounTemplates[random.Below(2)][gender],
      {{'s', subject}, {'m', places}}, episode);
}

// Distinct words that carry no meaning in the sentence.
Words Distinct(int count, Random& random) {
  const World& world = TheWorld();
  Words words;
  while (static_cast<int>(words.size()) < count) {
    const std::string& word = random.Chance(0.25)
                                  ? random.Pick(world.things).singular
                                  : random.Pick(world.nonsense);
    if (std::find(words.begin(), words.end(), word) == words.end()) {
      words.push_back(word);
    }
  }
  return words;
}

// A list of words, then the same list again.
void Repetition(Random& random, Episode& episode) {
  const bool announced = random.Chance(0.5);
  const Words words = Distinct(random.Between(announced ? 2 : 3, 8), random);
  for (const std::string& word : words) Add(word, true, episode);
  if (announced) Add("again", true, episode);
  for (size_t i = 0; i < words.size(); ++i) {
    if (announced || i > 0) {
      AddAnswer(words[i], episode);
    } else {
      Add(words[i], true, episode);
    }
  }
  Add(".", false, episode);
}

// Pairs, then one of them asked for.
void Codes(Random& random, Episode& episode) {
  const int count = random.Between(1, 2);
  const Words words = Distinct(2 * count, random);
  for (int i = 0; i < count; ++i) {
    Say(kCodeTemplate, {{'s', words[2 * i]}, {'a', words[2 * i + 1]}}, episode);
  }
  const int asked = random.Below(count);
  Say(kCodeQuery, {{'s', words[2 * asked]}, {'a', words[2 * asked + 1]}},
      episode);
}

void Induction(Random& random, Episode& episode) {
  if (random.Chance(0.6)) {
    Repetition(random, episode);
  } else {
    Codes(random, episode);
  }
}

// Openers with words and closed pairs between them, then ";" and all closers.
void Brackets(Random& random, Episode& episode) {
  const World& world = TheWorld();
  const int depth = random.Between(1, 4);
  std::vector<int> open;
  for (int level = 0; level < depth; ++level) {
    open.push_back(random.Below(3));
    Add(kOpeners.substr(open.back(), 1), true, episode);
    const int words = random.Below(4);
    for (int i = 0; i < words; ++i) {
      Add(random.Pick(world.nonsense), false, episode);
    }
    if (random.Chance(0.3)) {
      const int kind = random.Below(3);
      Add(kOpeners.substr(kind, 1), true, episode);
      Add(random.Pick(world.nonsense), false, episode);
      Add(kClosers.substr(kind, 1), true, episode);
    }
  }
  Add(";", true, episode);
  for (; !open.empty(); open.pop_back()) {
    AddAnswer(kClosers.substr(open.back(), 1), episode);
  }
  Add(".", false, episode);
}

void Collect(std::string_view text, std::set<std::string>& words) {
  for (std::string word : SplitWords(text)) {
    if (word[0] == '*' || word[0] == '!') word.erase(0, 1);
    if (word[0] != '$') words.insert(word);
  }
}

void CollectWorld(std::set<std::string>& words) {
  const World& world = TheWorld();
  for (const Relation& relation : world.relations) {
    for (const auto& fact : relation.facts) words.insert({fact[0], fact[1]});
    for (const std::string& text : relation.phrasings) Collect(text, words);
    for (const std::string& text : relation.denials) Collect(text, words);
  }
  for (const auto* nouns :
       {&world.things, &world.women_nouns, &world.men_nouns}) {
    for (const Noun& noun : *nouns) {
      words.insert({noun.singular, noun.plural});
    }
  }
  for (const auto& pair : world.opposites) words.insert({pair[0], pair[1]});
  for (const Words* list :
       {&world.adjectives, &world.prepositions, &world.nonsense}) {
    words.insert(list->begin(), list->end());
  }
}

}  // namespace

std::string_view QueryTypeName(QueryType type) {
  constexpr std::string_view kNames[] = {"syntax",    "fact",      "negation",
                                         "agreement", "induction", "brackets"};
  return kNames[static_cast<int>(type)];
}

void Say(std::string_view text, const Slots& slots, Episode& episode) {
  for (const std::string& word : SplitWords(text)) {
    const bool answer = word[0] == '*';
    const bool marked = answer || word[0] == '!';
    const std::string body = marked ? word.substr(1) : word;
    const bool slot = body[0] == '$';
    if (answer) {
      episode.answers.push_back(static_cast<int>(episode.words.size()));
    }
    if (!slot) {
      Add(body, marked, episode);
      continue;
    }
    // Only the filler between subject and verb carries no answer.
    for (const std::string& part : SplitWords(slots.at(body[1]))) {
      Add(part, body[1] != 'm', episode);
    }
  }
}

Episode MakeEpisode(QueryType type, Random& random) {
  Episode episode{.type = type};
  switch (type) {
    case QueryType::kSyntax:
      Syntax(random, episode);
      break;
    case QueryType::kFact:
      Fact(random, episode);
      break;
    case QueryType::kNegation:
      Negation(random, episode);
      break;
    case QueryType::kAgreement:
      random.Chance(0.55) ? Number(random, episode) : Pronoun(random, episode);
      break;
    case QueryType::kInduction:
      Induction(random, episode);
      break;
    case QueryType::kBrackets:
      Brackets(random, episode);
      break;
  }
  if (episode.key.empty()) episode.key = JoinWords(episode.words);
  return episode;
}

Words CorpusWords() {
  std::set<std::string> words;
  CollectWorld(words);
  for (const std::string_view text : kSyntaxTemplates) Collect(text, words);
  for (const std::string_view text : kGovernedTemplates) Collect(text, words);
  for (const std::string_view text : kOppositeTemplates) Collect(text, words);
  for (const std::string_view text : kAdverbs) Collect(text, words);
  for (const auto& tense : kNumberTemplates) {
    for (const std::string_view text : tense) Collect(text, words);
  }
  for (const auto& kind : kPronounTemplates) {
    for (const std::string_view text : kind) Collect(text, words);
  }
  Collect(kCodeTemplate, words);
  Collect("( [ { ) ] } ; again .", words);
  return Words(words.begin(), words.end());
}

}  // namespace spar::demo
