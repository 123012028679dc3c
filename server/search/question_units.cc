#include "server/search/question_units.h"

#include <algorithm>
#include <utility>

#include "models/row_check.h"

namespace spar::search {
namespace {

models::UnitTable TableOf(const models::UnitTable& model_units,
                          const models::DecompositionSpec* decomposition,
                          models::UnitScheme scheme,
                          int num_tokens) {
  const models::UnitSpace space = models::SpaceOf(scheme);
  if (space == models::UnitSpace::kHeadsAndNeurons) return model_units;
  return models::MakeUnitTable(*decomposition, space, num_tokens);
}

}  // namespace

QuestionUnits::QuestionUnits(const models::UnitTable& model_units,
                             const models::DecompositionSpec* decomposition,
                             models::UnitScheme scheme,
                             int num_tokens)
    : table_(TableOf(model_units, decomposition, scheme, num_tokens)),
      scheme_(scheme),
      num_tokens_(num_tokens),
      outside_(OutsideOn(num_tokens)) {}

int QuestionUnits::SizeOn(int num_tokens) const {
  return space() == models::UnitSpace::kNodes
             ? table_.per_position() * num_tokens
             : table_.size();
}

bool QuestionUnits::Fits(int num_tokens) const {
  return space() != models::UnitSpace::kNodes ||
         int64_t{table_.per_position()} * num_tokens <= models::kMaxUnits;
}

models::IndexSet QuestionUnits::OutsideOn(int num_tokens) const {
  models::IndexSet outside(SizeOn(num_tokens));
  const int per_position = table_.per_position();
  std::vector<models::UnitId> first;  // those of one position
  if (space() == models::UnitSpace::kHeadsAndNeurons) {
    for (models::UnitId id = 0; id < per_position; ++id) {
      if (!table_.Contains(scheme_, id)) first.push_back(id);
    }
  } else if (scheme_ == models::UnitScheme::kSubcomponent ||
             scheme_ == models::UnitScheme::kNode) {
    for (int module = 0; module < table_.num_modules(); ++module) {
      models::Unit delta;
      delta.kind = models::UnitKind::kDelta;
      delta.module = module;
      first.push_back(table_.Id(delta));
    }
  }
  for (int begin = 0; begin < outside.universe(); begin += per_position) {
    for (const models::UnitId id : first) outside.Insert(begin + id);
  }
  return outside;
}

models::IndexSet QuestionUnits::RowUnits(const models::IndexSet& units) const {
  models::IndexSet row = units;
  row.UniteWith(outside_);
  return row;
}

models::UnitId QuestionUnits::IdOn(int num_tokens, models::UnitId id) const {
  if (space() != models::UnitSpace::kNodes) return id;
  const int moved = id + (num_tokens - num_tokens_) * table_.per_position();
  return std::max(moved, -1);
}

models::IndexSet QuestionUnits::RowUnitsOn(
    int num_tokens, const models::IndexSet& units) const {
  if (SizeOn(num_tokens) == size()) return RowUnits(units);
  models::IndexSet row = OutsideOn(num_tokens);
  for (const models::UnitId id : units.Members()) {
    const models::UnitId moved = IdOn(num_tokens, id);
    if (moved >= 0) row.Insert(moved);
  }
  return row;
}

std::vector<float> QuestionUnits::MasksOn(int num_tokens,
                                          const models::IndexSet& units) const {
  const models::IndexSet on = RowUnitsOn(num_tokens, units);
  std::vector<float> masks(on.universe(), 0.0f);
  for (const models::UnitId id : on.Members()) masks[id] = 1.0f;
  return masks;
}

std::vector<models::UnitId> QuestionUnits::Live(
    const models::IndexSet& positions) const {
  std::vector<models::UnitId> live;
  if (space() != models::UnitSpace::kNodes) {
    for (models::UnitId id = 0; id < size(); ++id) {
      if (!outside_.Contains(id)) live.push_back(id);
    }
    return live;
  }
  const int per_position = table_.per_position();
  for (const int32_t position : positions.Members()) {
    const models::UnitId begin = position * per_position;
    for (models::UnitId id = begin; id < begin + per_position; ++id) {
      if (!outside_.Contains(id)) live.push_back(id);
    }
  }
  return live;
}

int64_t QuestionUnits::Parameters(
    const std::vector<models::UnitId>& units) const {
  std::vector<models::UnitId> once = units;
  if (space() == models::UnitSpace::kNodes) {
    for (models::UnitId& id : once) id %= table_.per_position();
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
  }
  int64_t parameters = 0;
  for (const models::UnitId id : once) parameters += table_.Parameters(id);
  return parameters;
}

const models::DecompositionInfo* FindDecomposition(
    std::span<const models::DecompositionInfo> decompositions,
    std::string_view name) {
  for (const models::DecompositionInfo& info : decompositions) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

}  // namespace spar::search
