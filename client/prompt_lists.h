// L5. The alive subcomponents of a prompt, put together from the messages of an
// Importances stream.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "spar/v1/decomposition_service.pb.h"

namespace spar::client {

struct AliveSubcomponent {
  int32_t number = 0;  // within its module
  float importance = 0;
  float activation = 0;

  friend bool operator==(const AliveSubcomponent&,
                         const AliveSubcomponent&) = default;
};

struct PromptLists {
  int32_t prompt = 0;  // of the request
  std::vector<v1::Token> tokens = {};
  int64_t num_entries = 0;
  int64_t num_cut = 0;
  // [module of the start]: position to what is alive there, ascending by
  // number.
  std::vector<std::map<int32_t, std::vector<AliveSubcomponent>>> modules = {};
};

// Not thread-safe.
class PromptReader {
 public:
  // kDataLoss where the messages do not fit each other: lists of different
  // lengths, numbers that do not ascend, what the start or the prompt lacks,
  // prompts out of order or unfinished.
  absl::Status Add(const v1::ImportancesResponse& message);
  // The prompt that the last message finished, once.
  std::optional<PromptLists> Take();
  // kDataLoss unless all prompts of the start have come.
  absl::Status Finish() const;

 private:
  absl::Status AddPrompt(const v1::PromptImportances& message);
  absl::Status AddModule(const v1::ModuleImportances& lists);

  v1::ImportancesStart start_;
  bool started_ = false;
  int32_t num_finished_ = 0;
  std::optional<PromptLists> open_;
  int32_t token_count_ = 0;  // of the open prompt, as its first message told
  int64_t entry_count_ = 0;  // likewise
  std::optional<PromptLists> finished_;
};

}  // namespace spar::client
