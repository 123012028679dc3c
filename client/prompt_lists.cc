#include "client/prompt_lists.h"

#include <utility>

#include "base/status.h"

namespace spar::client {
namespace {

absl::Status BrokenImportances(std::string_view what) {
  return absl::DataLossError(
      base::AbslView(base::Cat("the stream of importances ", what)));
}

}  // namespace

absl::Status PromptReader::Add(const v1::ImportancesResponse& message) {
  finished_.reset();
  if (message.has_start() == started_) {
    return BrokenImportances(started_ ? "starts twice"
                                      : "does not begin with its start");
  }
  if (message.has_start()) {
    start_ = message.start();
    started_ = true;
    return absl::OkStatus();
  }
  return AddPrompt(message.importances());
}

absl::Status PromptReader::AddPrompt(const v1::PromptImportances& message) {
  if (message.prompt() != num_finished_ ||
      message.prompt() >= start_.prompt_count()) {
    return BrokenImportances("has its prompts out of order");
  }
  if (!open_) {
    open_.emplace();
    open_->prompt = message.prompt();
    open_->num_cut = message.cut_count();
    token_count_ = message.token_count();
    entry_count_ = message.entry_count();
    open_->modules.resize(static_cast<size_t>(start_.modules_size()));
  }
  open_->tokens.insert(open_->tokens.end(), message.tokens().begin(),
                       message.tokens().end());
  for (const v1::ModuleImportances& lists : message.modules()) {
    RETURN_IF_ERROR(AddModule(lists));
  }
  const int64_t num_tokens = std::ssize(open_->tokens);
  if (num_tokens > token_count_ || open_->num_entries > entry_count_) {
    return BrokenImportances("has more than it told");
  }
  if (num_tokens == token_count_ && open_->num_entries == entry_count_) {
    finished_ = std::exchange(open_, std::nullopt);
    ++num_finished_;
  }
  return absl::OkStatus();
}

absl::Status PromptReader::AddModule(const v1::ModuleImportances& lists) {
  const int size = lists.subcomponent_deltas_size();
  const int64_t end_position =
      int64_t{lists.first_position()} + lists.counts_size();
  if (lists.module() < 0 || lists.module() >= start_.modules_size() ||
      lists.first_position() < 0 || end_position > token_count_ ||
      lists.importances_size() != size || lists.activations_size() != size) {
    return BrokenImportances("has lists that do not fit");
  }
  const int32_t end = start_.modules(lists.module()).subcomponent_count();
  auto& positions = open_->modules[static_cast<size_t>(lists.module())];
  int entry = 0;
  for (int i = 0; i < lists.counts_size(); ++i) {
    const int count = lists.counts(i);
    if (count < 0 || count > size - entry) {
      return BrokenImportances("counts more than it has");
    }
    if (count == 0) continue;
    std::vector<AliveSubcomponent>& alive =
        positions[lists.first_position() + i];
    int64_t number = 0;
    for (const int last = entry + count; entry < last; ++entry) {
      number += lists.subcomponent_deltas(entry);
      const int64_t least = alive.empty() ? 0 : alive.back().number + 1;
      if (number < least || number >= end) {
        return BrokenImportances(
            "has numbers that do not ascend in their module");
      }
      alive.push_back({static_cast<int32_t>(number), lists.importances(entry),
                       lists.activations(entry)});
    }
  }
  if (entry != size) return BrokenImportances("has more than it counts");
  open_->num_entries += size;
  return absl::OkStatus();
}

std::optional<PromptLists> PromptReader::Take() {
  return std::exchange(finished_, std::nullopt);
}

absl::Status PromptReader::Finish() const {
  if (started_ && num_finished_ == start_.prompt_count()) {
    return absl::OkStatus();
  }
  return BrokenImportances("ended before all its prompts");
}

}  // namespace spar::client
