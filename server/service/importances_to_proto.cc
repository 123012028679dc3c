#include "server/service/importances_to_proto.h"

#include <algorithm>
#include <utility>

#include "server/service/limits.h"
#include "server/service/to_proto.h"

namespace spar::service {
namespace {

// What a token takes of a message's room, in entries.
constexpr int kTokenRoom = 32;
// Of a position and an entry.
constexpr int kLeastRoom = 2;

}  // namespace

void ToProto(const ServedDecomposition& decomposition,
             const search::ImportanceQuestion& question,
             v1::ImportancesStart* to) {
  to->set_name(decomposition.ResourceName());
  to->set_digest(decomposition.info->digest);
  to->set_model_digest(decomposition.model->explainer->info().digest);
  for (const int m : question.modules) {
    const models::DecomposedModule& module =
        decomposition.info->spec.modules[static_cast<size_t>(m)];
    v1::ImportancesModule* const added = to->add_modules();
    added->set_name(module.name);
    added->set_subcomponent_count(module.num_components);
  }
  to->set_prompt_count(static_cast<int32_t>(question.prompts.size()));
}

ImportanceMessages::ImportanceMessages(
    std::vector<search::ImportanceAnswer> answers,
    int first_prompt,
    std::span<const std::vector<models::TokenId>> prompts,
    const models::Tokenizer* tokenizer)
    : answers_(std::move(answers)),
      first_prompt_(first_prompt),
      prompts_(prompts),
      tokenizer_(tokenizer) {}

bool ImportanceMessages::Next(v1::PromptImportances* to) {
  to->Clear();
  if (prompt_ == answers_.size()) return false;
  const search::ImportanceAnswer& answer = answers_[prompt_];
  to->set_prompt(first_prompt_ + static_cast<int32_t>(prompt_));
  to->set_token_count(static_cast<int32_t>(prompts_[prompt_].size()));
  to->set_entry_count(answer.num_entries);
  to->set_cut_count(answer.num_cut);
  int room = SetTokens(kMaxEntriesPerMessage, to);
  while (module_ < answer.modules.size()) {
    if (ModuleLeft()) {
      if (room < kLeastRoom) break;
      room = SetModule(room, to);
    } else {
      ++module_;
      position_ = 0;
      entry_ = 0;
    }
  }
  if (module_ == answer.modules.size() && token_ == prompts_[prompt_].size()) {
    ++prompt_;
    token_ = 0;
    module_ = 0;
  }
  return true;
}

bool ImportanceMessages::ModuleLeft() const {
  return entry_ < answers_[prompt_].modules[module_].begin.back();
}

int ImportanceMessages::SetTokens(int room, v1::PromptImportances* to) {
  const std::vector<models::TokenId>& tokens = prompts_[prompt_];
  for (; token_ < tokens.size() && room >= kTokenRoom; room -= kTokenRoom) {
    service::ToProto(tokens[token_++], *tokenizer_, to->add_tokens());
  }
  return token_ < tokens.size() ? 0 : room;
}

// From the next position that has an entry; a position costs as one.
int ImportanceMessages::SetModule(int room, v1::PromptImportances* to) {
  const models::ModuleImportances& from = answers_[prompt_].modules[module_];
  while (from.begin[position_ + 1] <= entry_) ++position_;
  v1::ModuleImportances* const added = to->add_modules();
  added->set_module(static_cast<int32_t>(module_));
  added->set_first_position(static_cast<int32_t>(position_));
  while (room >= kLeastRoom && ModuleLeft()) {
    const int64_t all = from.begin[position_ + 1] - entry_;
    const int64_t count = std::min<int64_t>(all, --room);
    int32_t last = 0;
    for (int64_t i = entry_; i < entry_ + count; ++i) {
      added->add_subcomponent_deltas(from.component[i] - last);
      last = from.component[i];
    }
    added->mutable_importances()->Add(from.importance.begin() + entry_,
                                      from.importance.begin() + entry_ + count);
    added->mutable_activations()->Add(from.activation.begin() + entry_,
                                      from.activation.begin() + entry_ + count);
    added->add_counts(static_cast<int32_t>(count));
    entry_ += count;
    room -= static_cast<int>(count);
    if (count == all) ++position_;
  }
  return room;
}

}  // namespace spar::service
