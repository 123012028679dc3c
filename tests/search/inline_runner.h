// Runs phases of a search on the test's own thread against a backend.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "models/backend.h"
#include "server/search/case.h"
#include "server/search/phases.h"

namespace spar::search {

class InlineRunner {
 public:
  InlineRunner(models::Backend* backend, const Question& question)
      : backend_(backend),
        oracle_(backend->calibration(),
                BudgetOf(question),
                base::Clock::Real(),
                [this](schedule::Request request) {
                  request_ = std::move(request);
                }),
        case_(SubjectOf(backend), question, &oracle_, [this](const Event& e) {
          events_.push_back(e);
        }) {}

  Case* state() { return &case_; }
  const std::vector<Event>& events() const { return events_; }

  template <typename T>
  absl::StatusOr<T> Run(Search<T> search) {
    search.Start();
    while (!search.done()) {
      const schedule::Request request = *std::exchange(request_, std::nullopt);
      oracle_.Answer(Evaluate(request));
    }
    return search.TakeResult();
  }

 private:
  static Budget BudgetOf(const Question& question) {
    Budget budget;
    budget.max_rows = question.options.max_rows;
    budget.max_seconds = question.options.max_seconds;
    return budget;
  }
  static Subject SubjectOf(models::Backend* backend) {
    Subject subject;
    subject.info = &backend->info();
    subject.units = &backend->units();
    subject.calibration = &backend->calibration();
    subject.reference_prompts = backend->reference_prompts();
    subject.decompositions = backend->decompositions();
    return subject;
  }
  schedule::Reply Evaluate(const schedule::Request& request) {
    schedule::Reply reply;
    if (!request.rows.empty()) {
      auto results = backend_->Evaluate(request.rows);
      reply.status = results.status();
      if (results.ok()) reply.results = *std::move(results);
    } else if (request.importances.has_value()) {
      auto importances =
          backend_->Importances(request.importances->decomposition,
                                std::span(&request.importances->tokens, 1), {});
      reply.status = importances.status();
      if (importances.ok()) reply.importances = std::move(importances->front());
    } else {
      auto gradients = backend_->Gradients(request.gradient_rows);
      reply.status = gradients.status();
      if (gradients.ok()) reply.gradients = *std::move(gradients);
    }
    return reply;
  }

  models::Backend* const backend_;
  std::optional<schedule::Request> request_;
  std::vector<Event> events_;
  Oracle oracle_;
  Case case_;
};

}  // namespace spar::search
