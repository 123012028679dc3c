// L5. Causal importances as the messages of their stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/row.h"
#include "models/text/tokenizer.h"
#include "server/search/importances.h"
#include "server/service/decomposition_from_proto.h"
#include "spar/v1/decomposition_service.pb.h"

namespace spar::service {

void ToProto(const ServedDecomposition& decomposition,
             const search::ImportanceQuestion& question,
             v1::ImportancesStart* to);

// The answers about some prompts: each message is made when its turn comes,
// none is larger than 4 MiB. Not thread-safe.
class ImportanceMessages {
 public:
  // prompts: as the answers, the first of them number `first_prompt` of the
  // request. They and the tokenizer outlive it.
  ImportanceMessages(std::vector<search::ImportanceAnswer> answers,
                     int first_prompt,
                     std::span<const std::vector<models::TokenId>> prompts,
                     const models::Tokenizer* tokenizer);

  // Fills in the next message; false where there is none.
  bool Next(v1::PromptImportances* to);

 private:
  // Each gives back how much room is left.
  int SetTokens(int room, v1::PromptImportances* to);
  int SetModule(int room, v1::PromptImportances* to);
  bool ModuleLeft() const;

  const std::vector<search::ImportanceAnswer> answers_;
  const int first_prompt_;
  const std::span<const std::vector<models::TokenId>> prompts_;
  const models::Tokenizer* const tokenizer_;

  // What comes next.
  size_t prompt_ = 0;
  size_t token_ = 0;     // of the prompt
  size_t module_ = 0;    // of the prompt
  size_t position_ = 0;  // of the module
  int64_t entry_ = 0;    // of the module
};

}  // namespace spar::service
