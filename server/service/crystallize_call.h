// L5. One Crystallize stream: a search's events on their way to one client.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "server/search/explainer.h"
#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"
#include "server/service/to_proto.h"
#include "spar/v1/explanation_service.pb.h"

namespace spar::service {

// Lives until gRPC is done with it (OnDone) and the search has ended; the two
// hold it together.
//
// The search never waits for the client: its events go into a queue, and one
// write at a time takes them out. No event may be left out, for their numbers
// have no gaps; and a search has few of them, each phase accepting less than
// the one before. A queue that outgrows its bound all the same ends the call
// with RESOURCE_EXHAUSTED (SLOW_READER). Events wait as plain sets, and become
// messages only when their turn comes.
//
// A client that cancels, disappears, or whose deadline passes cancels the
// search.
class CrystallizeCall final
    : public StreamCall<CrystallizeCall, v1::CrystallizeResponse> {
 public:
  // Answers `request`; owned by gRPC and the search. `registry` and `ledger`
  // outlive both.
  static CrystallizeCall* Make(const ModelRegistry* registry,
                               CallLedger* ledger,
                               size_t max_queued_bytes,
                               const v1::CrystallizeRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  CrystallizeCall(CallLedger* ledger, size_t max_queued_bytes);

  // Starts the search, or says why not.
  absl::Status Start(const ModelRegistry& registry,
                     const v1::CrystallizeRequest& request);
  void OnEvent(const search::Event& event);
  void OnEnd(absl::StatusOr<search::Explanation> result);

  // Cancels the search and forgets what waits. `why` is the answer unless the
  // search has ended or one was given before.
  void Stop(const absl::Status& why);
  // Sends what is next, unless a write is on its way. Called without mu_: gRPC
  // may call back from within.
  void Advance();
  void SendEnd(absl::StatusOr<search::Explanation> result);

  const size_t max_queued_bytes_;
  AnswerContext context_;  // constant once the search has started

  base::Mutex mu_;
  std::deque<search::Event> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<search::SearchId> search_ ABSL_GUARDED_BY(mu_);
  // Why the call was stopped from this side or the client's.
  std::optional<absl::Status> stopped_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::StatusOr<search::Explanation>> result_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace spar::service
