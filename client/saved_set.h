// L5. Sets of units that commands have found, in files of what they said as
// JSON: read for further questions, and those of a pruning written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/prune_answer.h"
#include "client/unit_schemes.h"

#include "spar/v1/explanation_service.pb.h"

namespace spar::client {

struct SavedSet {
  UnitSpace space = UnitSpace::kHeadsAndNeurons;
  v1::UnitScheme scheme = v1::UNIT_SCHEME_UNSPECIFIED;  // where it is told
  std::vector<int32_t> prompt = {};  // token ids, up to the readout
  int32_t target_id = 0;
  std::vector<int32_t> positions = {};    // T, ascending
  std::string model_digest = {};          // "": not told
  std::string decomposition = {};         // its name; "": not told
  std::string decomposition_digest = {};  // "": not told

  // One of the two may be empty: a large set tells its units by number alone, a
  // pruned row has no numbers.
  google::protobuf::RepeatedPtrField<v1::Unit> units = {};
  std::vector<int32_t> ids = {};  // ascending
};

// Which set of a pruning.
struct SetChoice {
  std::optional<int32_t> row = std::nullopt;  // as PruneAnswer numbers them
  bool certified = false;  // what the row's search ended with
};

// `text` is what `spar crystallize --output json`, `spar prune --output json`
// or `spar prune --save` wrote: a line of protobuf JSON per message. Of a
// pruning of one prompt the chosen row (ChosenPoint), unless `choice` names
// one. Errors: kInvalidArgument where `text` is neither, ended early, holds no
// such row or an empty set, or needs a choice; kDataLoss as PruneReader.
absl::StatusOr<SavedSet> ReadSavedSet(std::string_view text,
                                      const SetChoice& choice);

// A pruning as such a text: its header, its rows and explanations by number,
// its summary. kInternal for what JSON cannot say.
absl::StatusOr<std::string> JsonLinesOf(const PruneAnswer& answer);

}  // namespace spar::client
