// L1. The demo model's corpus: endless training text and held-out queries.
//
// Everything follows from seeds. A text is held out of training by a hash of
// its key (a fact with one way of saying it; otherwise the whole sentence), so
// training and held-out texts never share one. No torch here.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "models/demo/episode.h"
#include "models/demo/random.h"

namespace spar::demo {

enum class Split { kTraining, kHeldOut };

Split SplitOf(const Episode& episode);

// The next episode of a type that belongs to the split.
Episode NextEpisode(QueryType type, Split split, Random& random);

// A prompt that determines its next word.
struct Query {
  QueryType type = QueryType::kSyntax;
  Words prompt = {};
  std::string answer = {};
};

struct QueryOptions {
  int max_distractors = 2;  // training texts of any type before the query
  int min_words = 3;        // of the prompt
  int max_words = 48;
};

// A held-out text of the type, cut before one of its answers, after up to
// max_distractors other texts.
Query HeldOutQuery(QueryType type, const QueryOptions& options, Random& random);

// `count` held-out queries, the types in turn.
std::vector<Query> HeldOutQueries(int count,
                                  const QueryOptions& options,
                                  uint64_t seed);

// A stretch of training text. An answer counts when its episode begins inside.
struct Stretch {
  Words words = {};
  std::vector<bool> answer = {};
  std::vector<bool> essential = {};
};

// `length` words of packed training episodes of all types, which begin either
// with an episode or in the middle of one. Some episodes are preceded by words
// that mean nothing together.
Stretch TrainingStretch(int length, Random& random);

}  // namespace spar::demo
