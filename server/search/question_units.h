// L3. What the units of a question are: on its own prompt, and on others that
// share its S.
//
// Nodes are counted from the end, as positions are: the node (c, t) of a prompt
// of N tokens is (c, t + M - N) of one of M tokens. Other units are the same on
// every prompt.
#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/index_set.h"
#include "models/unit_table.h"

namespace spar::search {

// Immutable. Sets of S are over the units of the question's prompt, and hold
// units of the scheme.
class QuestionUnits {
 public:
  // Of a scheme of heads and neurons: `model_units`. Else of `decomposition`,
  // which has no more than models::kMaxUnits on such a prompt.
  QuestionUnits(const models::UnitTable& model_units,
                const models::DecompositionSpec* decomposition,
                models::UnitScheme scheme,
                int num_tokens);

  const models::UnitTable& table() const { return table_; }
  models::UnitScheme scheme() const { return scheme_; }
  models::UnitSpace space() const { return table_.space(); }
  // The universe on the question's prompt, and on another.
  int size() const { return table_.size(); }
  int SizeOn(int num_tokens) const;
  // Whether a prompt has no more than models::kMaxUnits of them. The functions
  // below are for those.
  bool Fits(int num_tokens) const;

  // The units of a row: those of S, and all that the scheme does not count.
  models::IndexSet RowUnits(const models::IndexSet& units) const;
  models::IndexSet RowUnitsOn(int num_tokens,
                              const models::IndexSet& units) const;
  // The same as masks, [unit].
  std::vector<float> MasksOn(int num_tokens,
                             const models::IndexSet& units) const;
  // The unit on another prompt; -1: none, the prompt is too short.
  models::UnitId IdOn(int num_tokens, models::UnitId id) const;

  // Units of the scheme that can matter where `positions` are kept, ascending.
  std::vector<models::UnitId> Live(const models::IndexSet& positions) const;
  // Parameters of `units`, a node's subcomponent once for all its positions.
  int64_t Parameters(const std::vector<models::UnitId>& units) const;

 private:
  // What the scheme does not count.
  models::IndexSet OutsideOn(int num_tokens) const;

  const models::UnitTable table_;
  const models::UnitScheme scheme_;
  const int num_tokens_;
  const models::IndexSet outside_;  // on the question's prompt
};

// The decomposition of this name; null when there is none.
const models::DecompositionInfo* FindDecomposition(
    std::span<const models::DecompositionInfo> decompositions,
    std::string_view name);

}  // namespace spar::search
