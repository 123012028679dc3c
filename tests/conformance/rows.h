// Random rows over a backend's prompts and units, by seed.
#pragma once

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "models/backend.h"

namespace spar::models {

inline std::vector<TokenId> RandomTokens(std::mt19937& random,
                                         int vocab_size,
                                         int length) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back(static_cast<TokenId>(random() % vocab_size));
  }
  return tokens;
}

inline IndexSet RandomSubset(std::mt19937& random,
                             int universe,
                             double density) {
  IndexSet set(universe);
  std::bernoulli_distribution keep(density);
  for (int i = 0; i < universe; ++i) {
    if (keep(random)) set.Insert(i);
  }
  return set;
}

inline std::shared_ptr<const Prompt> MakePrompt(Prompt prompt) {
  return std::make_shared<const Prompt>(std::move(prompt));
}

// Rows of the kinds that searches ask for: everything, nothing, one unit off,
// one layer off, random and nested subsets, all positions and few; of three
// prompts, both references where the backend has both, both position modes.
inline std::vector<Row> AssortedRows(const Backend& backend, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Row> rows;
  const int num_units = backend.units().size();
  const ModelInfo& info = backend.info();
  for (int p = 0; p < 3; ++p) {
    Prompt prompt;
    const int length = 1 + static_cast<int>(random() % 12) * (p > 0 ? 1 : 0);
    prompt.tokens = RandomTokens(random, info.vocab_size, length);
    prompt.target = static_cast<TokenId>(random() % info.vocab_size);
    for (const ReferenceKind kind :
         {ReferenceKind::kZero, ReferenceKind::kMean}) {
      if (kind == ReferenceKind::kMean && backend.reference_prompts().empty()) {
        continue;
      }
      for (const PositionMode mode :
           {PositionMode::kKeepIds, PositionMode::kReindex}) {
        prompt.reference = kind;
        prompt.position_mode = mode;
        const std::shared_ptr<const Prompt> shared = MakePrompt(prompt);
        const IndexSet everywhere = IndexSet::All(length);
        IndexSet some = RandomSubset(random, length, 0.5);
        some.Insert(length - 1);
        std::vector<IndexSet> sets = {IndexSet::All(num_units),
                                      IndexSet(num_units)};
        for (int i = 0; i < 4; ++i) {
          sets.push_back(IndexSet::All(num_units));
          sets.back().Remove(static_cast<int32_t>(random() % num_units));
        }
        for (const double density : {0.03, 0.1, 0.5, 0.9}) {
          sets.push_back(RandomSubset(random, num_units, density));
        }
        IndexSet nested = sets.back();
        for (int i = 0; i < 4; ++i) {
          nested.Remove(static_cast<int32_t>(random() % num_units));
          sets.push_back(nested);
        }
        for (const IndexSet& units : sets) {
          rows.push_back({shared, units, everywhere});
          rows.push_back({shared, units, some});
        }
      }
    }
  }
  return rows;
}

}  // namespace spar::models
