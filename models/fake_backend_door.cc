// L1. What the toy model lets in: row checks, and the faults that tests inject.
#include <algorithm>
#include <utility>

#include "base/status.h"
#include "models/digest.h"
#include "models/fake_backend.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

absl::Status BadRow(std::string_view message) {
  return base::InvalidArgument("BAD_ROW", "", message);
}

}  // namespace

absl::StatusOr<std::string> FakeBackend::ReferenceDigest(ReferenceKind kind) {
  if (kind == ReferenceKind::kZero) return Sha256Hex("zero");
  if (means_.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the model has no reference prompts",
                       {"NO_REFERENCE_PROMPTS", "", {}});
  }
  std::string text = "mean[";
  for (const std::vector<TokenId>& prompt : options_.reference_prompts) {
    text += text.back() == '[' ? "[" : ",[";
    for (const TokenId token : prompt) {
      text += base::Cat(text.back() == '[' ? "" : ",", token);
    }
    text += "]";
  }
  return Sha256Hex(text + "]");
}

absl::Status FakeBackend::CheckPrompt(const Prompt* prompt,
                                      const IndexSet& positions,
                                      bool own_prediction) const {
  if (prompt == nullptr) return BadRow("the row has no prompt");
  const int length = static_cast<int>(prompt->tokens.size());
  if (length < 1 || length > options_.context_length) {
    return BadRow(base::Cat("the prompt has ", length, " tokens: want 1 to ",
                            options_.context_length));
  }
  for (const TokenId token : prompt->tokens) {
    if (token < 0 || token >= options_.vocab_size) {
      return BadRow(base::Cat("token ", token, " is outside [0, ",
                              options_.vocab_size, ")"));
    }
  }
  if (own_prediction && prompt->target == kOwnPrediction) {
    // The row says.
  } else if (prompt->target < 0 || prompt->target >= options_.vocab_size) {
    return BadRow(base::Cat("target ", prompt->target, " is outside [0, ",
                            options_.vocab_size, ")"));
  }
  if (positions.universe() != length || !positions.Contains(length - 1)) {
    return BadRow("the positions must be of this prompt and hold its last");
  }
  if (prompt->reference == ReferenceKind::kMean && means_.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the model has no reference prompts",
                       {"NO_REFERENCE_PROMPTS", "", {}});
  }
  return absl::OkStatus();
}

absl::Status FakeBackend::CheckRow(const Row& row) const {
  RETURN_IF_ERROR(CheckPrompt(row.prompt.get(), row.positions,
                              /*own_prediction=*/true));
  ASSIGN_OR_RETURN(const int num_units, NumUnits(*this, *row.prompt, "row"));
  if (row.units.universe() != num_units) {
    return BadRow(base::Cat("the row's units are of ", row.units.universe(),
                            ": want ", num_units));
  }
  return absl::OkStatus();
}

absl::Status FakeBackend::CheckGradientRow(const GradientRow& row) const {
  RETURN_IF_ERROR(CheckPrompt(row.prompt.get(), row.positions,
                              /*own_prediction=*/false));
  ASSIGN_OR_RETURN(const int num_units, NumUnits(*this, *row.prompt, "row"));
  if (static_cast<int>(row.masks.size()) != num_units) {
    return BadRow(base::Cat("the row has ", row.masks.size(), " masks for ",
                            num_units, " units"));
  }
  for (const float mask : row.masks) {
    if (mask >= 0 && mask <= 1) continue;  // false for NaN
    return BadRow(base::Cat("mask ", mask, ": want 0 to 1"));
  }
  return absl::OkStatus();
}

// Everything that tests inject happens here, before a batch's rows are looked
// at.
absl::Status FakeBackend::Enter(
    std::span<const std::shared_ptr<const Prompt>> prompts) {
  base::MutexLock lock(mu_);
  const int num_rows = static_cast<int>(prompts.size());
  counters_.largest_batch = std::max(counters_.largest_batch, num_rows);
  while (held_) {
    waiting_ = true;
    changed_.NotifyAll();
    changed_.Wait(mu_);
  }
  waiting_ = false;
  if (fail_next_.has_value()) {
    absl::Status status = *fail_next_;
    fail_next_.reset();
    return status;
  }
  if (limit_ > 0 && num_rows > limit_) {
    return base::Error(absl::StatusCode::kResourceExhausted,
                       base::Cat("a batch of ", num_rows,
                                 " rows does not fit: at most ", limit_),
                       {"BATCH_TOO_LARGE", "", {}});
  }
  for (const std::shared_ptr<const Prompt>& prompt : prompts) {
    if (prompt == nullptr) continue;
    for (const TokenId token : prompt->tokens) {
      const auto bad = bad_tokens_.find(token);
      if (bad != bad_tokens_.end()) return bad->second;
    }
  }
  return absl::OkStatus();
}

void FakeBackend::MakeDecompositions() {
  for (const std::string& name : options_.decompositions) {
    decompositions_.emplace_back(
        name, info_.weights_digest, info_.num_layers, info_.width,
        info_.num_neurons, options_.num_components,
        options_.seed + 1 + decompositions_.size(), options_.reference_prompts);
    decomposition_infos_.push_back(decompositions_.back().info());
  }
}

const DecompositionSpec* FakeBackend::FindDecomposition(
    std::string_view name) const {
  for (const DecompositionInfo& info : decomposition_infos_) {
    if (info.name == name) return &info.spec;
  }
  return nullptr;
}

// The prompt has been checked.
const FakeDecomposition& FakeBackend::DecompositionOf(
    const Prompt& prompt) const {
  size_t index = 0;
  while (decompositions_[index].info().name != prompt.decomposition) ++index;
  return decompositions_[index];
}

absl::StatusOr<std::vector<PromptImportances>> FakeBackend::Importances(
    std::string_view decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options) {
  ASSIGN_OR_RETURN(const size_t index,
                   CheckImportances(*this, decomposition, prompts, options));
  std::vector<PromptImportances> results;
  for (const std::vector<TokenId>& prompt : prompts) {
    results.push_back(decompositions_[index].Run(prompt, options));
  }
  return results;
}

FakeCounters FakeBackend::counters() const {
  base::MutexLock lock(mu_);
  return counters_;
}

void FakeBackend::FailNext(absl::Status status) {
  base::MutexLock lock(mu_);
  fail_next_ = std::move(status);
}

void FakeBackend::FailRowsWith(TokenId token, absl::Status status) {
  base::MutexLock lock(mu_);
  bad_tokens_[token] = std::move(status);
}

void FakeBackend::LimitBatchRows(int limit) {
  base::MutexLock lock(mu_);
  limit_ = limit;
}

void FakeBackend::Hold() {
  base::MutexLock lock(mu_);
  held_ = true;
}

void FakeBackend::AwaitHeld() {
  base::MutexLock lock(mu_);
  while (!waiting_) changed_.Wait(mu_);
}

void FakeBackend::Release() {
  base::MutexLock lock(mu_);
  held_ = false;
  changed_.NotifyAll();
}

}  // namespace spar::models
