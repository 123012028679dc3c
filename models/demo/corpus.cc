// L1. Splits, held-out queries and packed training text.
#include "models/demo/corpus.h"

#include <algorithm>
#include <utility>

namespace spar::demo {
namespace {

// One episode in this many is held out.
constexpr uint64_t kHeldOutShare = 8;

// How often a training episode is of each type, in the order of kQueryTypes.
constexpr double kMixture[] = {0.06, 0.15, 0.13, 0.18, 0.38, 0.10};

// FNV-1a, 64 bits.
uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return hash ^ (hash >> 32);
}

QueryType PickType(Random& random) {
  double left = random.Unit();
  for (const QueryType type : kQueryTypes) {
    left -= kMixture[static_cast<int>(type)];
    if (left < 0) return type;
  }
  return QueryType::kFact;
}

void AppendNoise(Random& random, Stretch& stretch) {
  static const Words* const words = new Words(CorpusWords());
  for (int left = random.Between(1, 12); left > 0; --left) {
    stretch.words.push_back(random.Pick(*words));
    stretch.answer.push_back(false);
    stretch.essential.push_back(false);
  }
}

void Append(const Episode& episode, int skip, Stretch& stretch) {
  const size_t base = stretch.words.size();
  stretch.words.insert(stretch.words.end(), episode.words.begin() + skip,
                       episode.words.end());
  stretch.essential.insert(stretch.essential.end(),
                           episode.essential.begin() + skip,
                           episode.essential.end());
  stretch.answer.resize(stretch.words.size(), false);
  if (skip > 0) return;
  for (const int answer : episode.answers) stretch.answer[base + answer] = true;
}

}  // namespace

Split SplitOf(const Episode& episode) {
  return Hash(episode.key) % kHeldOutShare == 0 ? Split::kHeldOut
                                                : Split::kTraining;
}

Episode NextEpisode(QueryType type, Split split, Random& random) {
  while (true) {
    Episode episode = MakeEpisode(type, random);
    if (SplitOf(episode) == split) return episode;
  }
}

Query HeldOutQuery(QueryType type,
                   const QueryOptions& options,
                   Random& random) {
  while (true) {
    Query query{.type = type};
    const int distractors = random.Below(options.max_distractors + 1);
    for (int i = 0; i < distractors; ++i) {
      const Episode before =
          NextEpisode(PickType(random), Split::kTraining, random);
      query.prompt.insert(query.prompt.end(), before.words.begin(),
                          before.words.end());
    }
    const Episode episode = NextEpisode(type, Split::kHeldOut, random);
    const int answer = random.Pick(episode.answers);
    query.prompt.insert(query.prompt.end(), episode.words.begin(),
                        episode.words.begin() + answer);
    query.answer = episode.words[answer];
    const int words = static_cast<int>(query.prompt.size());
    if (words >= options.min_words && words <= options.max_words) return query;
  }
}

std::vector<Query> HeldOutQueries(int count,
                                  const QueryOptions& options,
                                  uint64_t seed) {
  Random random(seed);
  std::vector<Query> queries;
  for (int i = 0; i < count; ++i) {
    const QueryType type = kQueryTypes[i % std::size(kQueryTypes)];
    queries.push_back(HeldOutQuery(type, options, random));
  }
  return queries;
}

Stretch TrainingStretch(int length, Random& random) {
  Stretch stretch;
  bool first = true;
  while (static_cast<int>(stretch.words.size()) < length) {
    if (random.Chance(0.08)) AppendNoise(random, stretch);
    const Episode episode =
        NextEpisode(PickType(random), Split::kTraining, random);
    const int words = static_cast<int>(episode.words.size());
    const bool whole = !first || random.Chance(0.5);
    Append(episode, whole ? 0 : random.Below(words), stretch);
    first = false;
  }
  stretch.words.resize(length);
  stretch.answer.resize(length);
  stretch.essential.resize(length);
  return stretch;
}

}  // namespace spar::demo
