// L1. Takes the subcomponents out of the demo model that one of its facts
// hangs on, and reads what it then says of that fact and of others (after the
// study of facts in "Decomposition of Small Transformer Models",
// arXiv 2511.08854).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/studies/fact_prompts.h"
#include "models/studies/suppression.h"

namespace spar::studies {

struct FactStudyOptions {
  std::string decomposition = {};  // resident in the backend
  std::string relation = "sport";  // of RelationOf
  uint64_t seed = 0;               // of every draw
  double goal = 0.02;    // the probability at which a fact counts as forgotten
  int most = 32;         // subcomponents to take out
  int a_round = 2;       // of them at a time
  double weight = 1;     // of the harm to others (Ranked)
  int num_later = 96;    // candidates after the first round: its best
  int num_others = 8;    // other facts that choosing sees
  int num_controls = 4;  // sets of controls
  int nearest = 8;       // norms that a control is drawn from
};

// What a model says. Probabilities are of the answers, means over prompts.
struct FactReading {
  double fact = 0;    // in phrasings that choosing did not see
  double said = 0;    // share of them where it is the likeliest word
  double others = 0;  // of other subjects of the relation
  double others_said = 0;
  double worst_fall = 0;       // of those, the largest fall of one
  double subject = 0;          // what else is known of the subject
  double elsewhere = 0;        // facts of another relation, of other subjects
  double back = 0;             // asked the other way: answer to subject
  std::string back_says = {};  // the likeliest word there, first phrasing
};

struct FactFinding {
  std::string subject = {};
  std::string answer = {};
  std::vector<Component> suppressed = {};
  FactReading before = {};
  FactReading after = {};
  FactReading control = {};  // means over the sets; worst_fall is the largest
  double seconds = 0;
};

// One fact of the relation. Runs are edits of weights: a subcomponent is out at
// every position, all others and Delta stay. Candidates have an importance
// above 0 somewhere in the fact's own prompts; in rounds those of the best
// Ranked effect, beside those already out, join, until the fact is forgotten in
// the choosing phrasings or nothing helps. Errors as Backend's.
absl::StatusOr<FactFinding> SuppressFact(models::Backend& backend,
                                         const FactStudyOptions& options,
                                         int fact);

}  // namespace spar::studies
