#include "server/service/prune_call.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/errors.h"
#include "server/service/limits.h"
#include "server/service/pruning_from_proto.h"

namespace spar::service {
namespace {

constexpr std::string_view kPruneMethod = "spar.v1.PruningService/Prune";
constexpr std::chrono::milliseconds kProgressInterval{250};

// Nodes as units of the prompt that ends with their row's position.
std::vector<models::UnitId> UnitsOf(const std::vector<models::PrunedNode>& from,
                                    const models::UnitTable& units) {
  std::vector<models::UnitId> ids;
  for (const models::PrunedNode& node : from) {
    models::Unit unit;
    unit.kind = models::UnitKind::kSubcomponent;
    unit.module = node.module;
    unit.index = node.component;
    unit.position = node.position;
    ids.push_back(units.Id(unit));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

PruneCall::PruneCall(CallLedger* ledger) : StreamCall(ledger, kPruneMethod) {}

PruneCall* PruneCall::Make(const ModelRegistry* registry,
                           CallLedger* ledger,
                           const v1::PruneRequest& request) {
  std::shared_ptr<PruneCall> call(new PruneCall(ledger));
  absl::Status status = call->Admit(call, kMaxLivePrunings);
  if (status.ok()) status = call->Begin(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status PruneCall::Begin(const ModelRegistry& registry,
                              const v1::PruneRequest& request) {
  ASSIGN_OR_RETURN(context_.model, registry.Find(request.model(), "model"));
  ASSIGN_OR_RETURN(const ServedDecomposition decomposition,
                   PrunedDecomposition(request, *context_.model));
  context_.decomposition = decomposition.info;
  ASSIGN_OR_RETURN(context_.request, PruneFromProto(request, decomposition));
  if (request.has_crystallize()) {
    ASSIGN_OR_RETURN(search_options_, PrunedSearchFromProto(request));
    RETURN_IF_ERROR(WithCrystallizeField(PrepareSearches(*search_options_)));
  }
  context_.model->explainer->Prune(
      context_.request,
      [self =
           self()](absl::StatusOr<std::shared_ptr<search::PruningTask>> task) {
        self->OnTask(std::move(task));
      });
  return absl::OkStatus();
}

absl::Status PruneCall::PrepareSearches(
    const search::CrystallizeOptions& options) {
  for (size_t p = 0; p < context_.request.prompts.size(); ++p) {
    const search::Question question = QuestionOf(static_cast<int>(p));
    AnswerContext& prompt = searched_prompts_.emplace_back();
    prompt.model = context_.model;
    prompt.tokens = question.tokens;
    ASSIGN_OR_RETURN(prompt.units,
                     context_.model->explainer->UnitsOf(question));
    prompt.num_units = prompt.units.CountMembers(options.scheme);
  }
  return absl::OkStatus();
}

search::Question PruneCall::QuestionOf(int prompt) const {
  const models::PrunePrompt& from = context_.request.prompts[prompt];
  search::Question question;
  question.tokens.assign(from.tokens.begin(),
                         from.tokens.begin() + from.position + 1);
  question.options = *search_options_;
  return question;
}

void PruneCall::OnTask(
    absl::StatusOr<std::shared_ptr<search::PruningTask>> task) {
  if (!task.ok()) {
    End(task.status());
    return;
  }
  task_ = *std::move(task);
  ToProto(context_, response_.mutable_header());
  StartWrite(&response_);
}

void PruneCall::OnRows(absl::StatusOr<std::vector<models::PrunedRow>> rows) {
  if (!rows.ok()) {
    End(rows.status());
    return;
  }
  rows_.assign(std::make_move_iterator(rows->begin()),
               std::make_move_iterator(rows->end()));
  Advance();
}

void PruneCall::OnWriteDone(bool ok) {
  if (!ok) Stop();
  Advance();
}

void PruneCall::Advance() {
  if (stopped_) {
    End(Cancelled());
  } else if (!rows_.empty()) {
    WriteRow();
  } else if (next_searched_ < searched_.size()) {
    WriteExplanation();
  } else if (!last_progress_.has_value() ||
             Clock::now() - *last_progress_ >= kProgressInterval) {
    WriteProgress();
  } else if (!starts_.empty()) {
    Search();
  } else if (task_->work->done()) {
    WriteSummary();
  } else {
    context_.model->explainer->NextPruned(
        task_,
        [self = self()](absl::StatusOr<std::vector<models::PrunedRow>> rows) {
          self->OnRows(std::move(rows));
        });
  }
}

void PruneCall::WriteRow() {
  const models::PrunedRow row = std::move(rows_.front());
  rows_.pop_front();
  PrunedPoint& point = points_.emplace_back();
  point.prompt = row.prompt;
  point.coefficient = row.coefficient;
  point.num_nodes = std::ssize(row.nodes);
  point.rounded = row.rounded;
  if (search_options_.has_value()) {
    Start& start = starts_.emplace_back();
    start.prompt = row.prompt;
    start.coefficient = row.coefficient;
    start.point = points_.size() - 1;
    start.target = row.target;
    start.units = UnitsOf(row.nodes, searched_prompts_[row.prompt].units);
  }
  response_.Clear();
  ToProto(context_, row, response_.mutable_row());
  StartWrite(&response_);
}

void PruneCall::WriteExplanation() {
  const Searched& searched = searched_[next_searched_++];
  const search::Explanation& explanation = **searched.result;
  ++num_explained_;
  if (explanation.certificate.has_value()) {
    points_[searched.start.point].crystallized = std::ssize(explanation.units);
  }
  response_.Clear();
  v1::PrunedExplanation* const to = response_.mutable_explanation();
  to->set_prompt_index(searched.start.prompt);
  to->set_coefficient_index(searched.start.coefficient);
  ToProto(explanation, searched_prompts_[searched.start.prompt],
          to->mutable_explanation());
  StartWrite(&response_);
}

void PruneCall::WriteProgress() {
  last_progress_ = Clock::now();
  response_.Clear();
  v1::PruneProgress* const to = response_.mutable_progress();
  ToProto(context_, task_->work->states(), to);
  SetDuration(Elapsed(), to->mutable_elapsed());
  to->set_crystallized_row_count(num_explained_);
  StartWrite(&response_);
}

void PruneCall::WriteSummary() {
  response_.Clear();
  v1::PruneSummary* const to = response_.mutable_summary();
  ToProto(context_, std::move(points_), to);
  SetDuration(Elapsed(), to->mutable_elapsed());
  EndWithResponse();
}

void PruneCall::Search() {
  searched_.clear();
  next_searched_ = 0;
  while (!starts_.empty() && searched_.size() < kSearchesOfPruning) {
    searched_.emplace_back().start = std::move(starts_.front());
    starts_.pop_front();
  }
  searching_ = static_cast<int>(searched_.size()) + 1;
  for (size_t i = 0; i < searched_.size(); ++i) {
    const Start& start = searched_[i].start;
    search::Question question = QuestionOf(start.prompt);
    question.target = start.target;
    question.initial_units = start.units;
    const absl::StatusOr<search::SearchId> id =
        context_.model->explainer->Start(
            std::move(question), [](const search::Event&) {},
            [self = self(), i](absl::StatusOr<search::Explanation> result) {
              self->OnExplanation(i, std::move(result));
            });
    if (!id.ok()) {
      OnExplanation(i, id.status());
      continue;
    }
    base::MutexLock lock(mu_);
    live_.push_back(*id);
  }
  if (stopped_) Stop();
  LetGo();
}

void PruneCall::OnExplanation(size_t index,
                              absl::StatusOr<search::Explanation> result) {
  searched_[index].result = std::move(result);
  LetGo();
}

void PruneCall::LetGo() {
  if (--searching_ == 0) OnSearched();
}

// All are there. What the model had no room for is searched again, after those
// that it had room for.
void PruneCall::OnSearched() {
  {
    base::MutexLock lock(mu_);
    live_.clear();
  }
  const bool any =
      std::any_of(searched_.begin(), searched_.end(),
                  [](const Searched& it) { return it.result->ok(); });
  for (Searched& searched : searched_) {
    const absl::Status& status = searched.result->status();
    if (status.ok()) continue;
    if (!any || !absl::IsResourceExhausted(status)) {
      End(WithCrystallizeField(status));
      return;
    }
    starts_.push_back(std::move(searched.start));
  }
  std::erase_if(searched_, [](const Searched& it) { return !it.result->ok(); });
  Advance();
}

void PruneCall::Stop() {
  stopped_ = true;
  std::vector<search::SearchId> live;
  {
    base::MutexLock lock(mu_);
    live = live_;
  }
  for (const search::SearchId id : live) {
    context_.model->explainer->Cancel(id);
  }
}

void PruneCall::OnCancel() {
  Stop();
}

double PruneCall::Elapsed() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

}  // namespace spar::service
