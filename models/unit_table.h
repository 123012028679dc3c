// L1. The units of a model: what a set S counts, numbered once for all schemes.
//
// Numbering (version 1): layer by layer; in a layer first its attention heads,
// then its MLP neurons. A unit scheme is a subset of this numbering, so a unit
// has the same id whichever scheme a question uses; the units outside the
// scheme always keep their own value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spar::models {

using UnitId = int32_t;

inline constexpr int kUnitNumberingVersion = 1;

enum class UnitKind { kHead, kNeuron };

enum class UnitScheme {
  kHead,           // attention heads: mask on z, the head's mixed values
  kNeuron,         // MLP neurons: mask on the post-activation
  kHeadAndNeuron,  // both; the default
};

struct Unit {
  UnitKind kind = UnitKind::kHead;
  int layer = 0;
  int index = 0;  // head or neuron within the layer

  friend bool operator==(const Unit&, const Unit&) = default;
};

// One layer as the table counts it. The module names are the checkpoint's, for
// example "transformer.h.3.attn" and "transformer.h.3.mlp".
struct LayerUnits {
  int num_heads = 0;
  int num_neurons = 0;
  std::string attention_module = {};
  std::string mlp_module = {};
  int64_t parameters_per_head = 0;    // its q and o rows and columns; its share
                                      // of grouped k and v
  int64_t parameters_per_neuron = 0;  // its up, gate and down rows and columns
};

// Immutable.
class UnitTable {
 public:
  UnitTable() = default;
  explicit UnitTable(std::vector<LayerUnits> layers);

  int size() const { return num_units_; }
  int num_layers() const { return static_cast<int>(layers_.size()); }
  const LayerUnits& layer(int index) const { return layers_[index]; }

  UnitId Id(const Unit& unit) const;
  Unit At(UnitId id) const;
  bool Contains(UnitScheme scheme, UnitId id) const;

  // "transformer.h.3.attn#head=5", "transformer.h.3.mlp#neuron=100".
  std::string Name(UnitId id) const;
  // kInvalidArgument UNKNOWN_UNIT when no unit has this name.
  absl::StatusOr<UnitId> Parse(std::string_view name) const;

  // Ascending ids of the scheme.
  std::vector<UnitId> Members(UnitScheme scheme) const;
  // Parameters held by one unit.
  int64_t Parameters(UnitId id) const;

 private:
  std::vector<LayerUnits> layers_;
  std::vector<int> first_;  // first id of each layer
  int num_units_ = 0;
};

std::string_view UnitSchemeName(UnitScheme scheme);  // "head", "head+neuron"
absl::StatusOr<UnitScheme> ParseUnitScheme(std::string_view name);

}  // namespace spar::models
