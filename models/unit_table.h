// L1. The units of a model: what a set S counts, numbered for all schemes of
// one space.
//
// Numbering (version 1). A unit scheme is a subset of its space's numbering, so
// a unit has the same id whichever scheme a question uses; the units of the
// space outside the scheme always keep their own value.
//   heads and neurons  layer by layer; in a layer first its attention heads,
//                      then its MLP neurons
//   subcomponents      module by module, in the decomposition's order; in a
//                      module first its subcomponents, then its Delta
//   nodes              position by position; at each the subcomponents and
//                      Deltas as above
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spar::models {

struct DecompositionSpec;

using UnitId = int32_t;

inline constexpr int kUnitNumberingVersion = 1;

enum class UnitKind { kHead, kNeuron, kSubcomponent, kDelta };

// Which things a numbering counts. Those of another space are always on.
enum class UnitSpace {
  kHeadsAndNeurons,
  kSubcomponents,  // of a decomposition, one mask for all positions
  kNodes,          // subcomponent x position
};

enum class UnitScheme {
  kHead,                  // attention heads: mask on z, the head's mixed values
  kNeuron,                // MLP neurons: mask on the post-activation
  kHeadAndNeuron,         // both; the default
  kSubcomponent,          // Delta is scaffold
  kSubcomponentAndDelta,  // every module's Delta is one unit more
  kNode,
  kNodeAndDelta,
};

UnitSpace SpaceOf(UnitScheme scheme);

struct Unit {
  UnitKind kind = UnitKind::kHead;
  int layer = 0;      // -1: the embedding
  int index = 0;      // within its kind in the layer or module
  int module = -1;    // of the decomposition: kSubcomponent and kDelta
  int position = -1;  // kNodes

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

// One decomposed weight as the table counts it.
struct ModuleUnits {
  std::string name = {};  // "h.3.mlp.c_fc"
  int layer = 0;
  int num_components = 0;
  int64_t parameters_per_component = 0;  // of U_c and V_c
  int64_t parameters_of_delta = 0;       // of the weight
};

// Immutable.
class UnitTable {
 public:
  UnitTable() = default;
  explicit UnitTable(std::vector<LayerUnits> layers);
  // Subcomponents; with `num_positions` nodes. Aborts where ids do not fit:
  // models/row_check.h.
  explicit UnitTable(std::vector<ModuleUnits> modules, int num_positions = 0);

  UnitSpace space() const;
  int size() const { return num_units_; }
  int num_layers() const { return static_cast<int>(layers_.size()); }
  const LayerUnits& layer(int index) const { return layers_[index]; }
  int num_modules() const { return static_cast<int>(modules_.size()); }
  const ModuleUnits& module(int index) const { return modules_[index]; }
  // Ids of one position, where units are nodes; else all.
  int per_position() const { return per_position_; }

  UnitId Id(const Unit& unit) const;
  Unit At(UnitId id) const;
  bool Contains(UnitScheme scheme, UnitId id) const;

  // "transformer.h.3.attn#head=5", "transformer.h.3.mlp#neuron=100",
  // "h.3.mlp.c_fc#subcomponent=7", "h.3.mlp.c_fc#delta"; nodes end with their
  // position, "h.3.mlp.c_fc#subcomponent=7@12".
  std::string Name(UnitId id) const;
  // kInvalidArgument UNKNOWN_UNIT when no unit has this name.
  absl::StatusOr<UnitId> Parse(std::string_view name) const;

  // Ascending ids of the scheme; none of a scheme of another space.
  std::vector<UnitId> Members(UnitScheme scheme) const;
  int CountMembers(UnitScheme scheme) const;
  // Parameters held by one unit.
  int64_t Parameters(UnitId id) const;

 private:
  std::vector<LayerUnits> layers_;
  std::vector<ModuleUnits> modules_;
  std::vector<int> first_;  // first id of each layer, or module at a position
  int per_position_ = 0;
  int num_positions_ = 0;  // of nodes; 0: no nodes
  int num_units_ = 0;
};

// The units of a decomposition: `space` is not kHeadsAndNeurons. `num_tokens`
// counts for kNodes.
UnitTable MakeUnitTable(const DecompositionSpec& spec,
                        UnitSpace space,
                        int num_tokens);

// Units of that table, without making it.
int64_t CountUnits(const DecompositionSpec& spec,
                   UnitSpace space,
                   int num_tokens);

std::string_view UnitKindName(UnitKind kind);        // as in names: "head"
std::string_view UnitSchemeName(UnitScheme scheme);  // "head", "node+delta"
absl::StatusOr<UnitScheme> ParseUnitScheme(std::string_view name);

}  // namespace spar::models
