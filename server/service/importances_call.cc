#include "server/service/importances_call.h"

#include <span>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/decomposition_from_proto.h"
#include "server/service/errors.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

constexpr std::string_view kImportancesMethod =
    "spar.v1.DecompositionService/Importances";

}  // namespace

ImportancesCall::ImportancesCall(CallLedger* ledger)
    : StreamCall(ledger, kImportancesMethod) {}

ImportancesCall* ImportancesCall::Make(const ModelRegistry* registry,
                                       CallLedger* ledger,
                                       const v1::ImportancesRequest& request) {
  std::shared_ptr<ImportancesCall> call(new ImportancesCall(ledger));
  absl::Status status = call->Admit(call, kMaxLiveImportances);
  if (status.ok()) status = call->Start(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status ImportancesCall::Start(const ModelRegistry& registry,
                                    const v1::ImportancesRequest& request) {
  ASSIGN_OR_RETURN(decomposition_,
                   registry.FindDecomposition(request.name(), "name"));
  ASSIGN_OR_RETURN(question_, ImportancesFromProto(request, decomposition_));
  ToProto(decomposition_, question_, response_.mutable_start());
  StartWrite(&response_);
  return absl::OkStatus();
}

void ImportancesCall::OnWriteDone(bool ok) {
  if (!ok) stop_.request_stop();
  Advance();
}

void ImportancesCall::Advance() {
  if (stop_.stop_requested()) {
    End(Cancelled());
  } else if (messages_ && messages_->Next(response_.mutable_importances())) {
    StartWrite(&response_);
  } else if (end_prompt_ < question_.prompts.size()) {
    messages_.reset();
    AskForPrompts();
  } else {
    End(absl::OkStatus());
  }
}

void ImportancesCall::AskForPrompts() {
  next_prompt_ = end_prompt_;
  search::ImportanceQuestion some;
  some.decomposition = question_.decomposition;
  some.threshold = question_.threshold;
  some.modules = question_.modules;
  some.max_per_position = question_.max_per_position;
  some.max_entries = question_.max_entries;
  const int64_t components = decomposition_.info->spec.num_components();
  int64_t cells = 0;
  for (; end_prompt_ < question_.prompts.size(); ++end_prompt_) {
    const std::vector<models::TokenId>& tokens = question_.prompts[end_prompt_];
    cells += std::ssize(tokens) * components;
    if (!some.prompts.empty() && cells > kImportanceStepCells) break;
    some.prompts.push_back(tokens);
  }
  decomposition_.model->explainer->Importances(
      std::move(some), stop_.get_token(),
      [self = self()](
          absl::StatusOr<std::vector<search::ImportanceAnswer>> answers) {
        self->OnAnswers(std::move(answers));
      });
}

void ImportancesCall::OnAnswers(
    absl::StatusOr<std::vector<search::ImportanceAnswer>> answers) {
  if (!answers.ok()) {
    End(answers.status());
    return;
  }
  messages_.emplace(*std::move(answers), static_cast<int>(next_prompt_),
                    std::span(question_.prompts)
                        .subspan(next_prompt_, end_prompt_ - next_prompt_),
                    decomposition_.model->tokenizer.get());
  Advance();
}

void ImportancesCall::OnCancel() {
  stop_.request_stop();
}

}  // namespace spar::service
