// L5. One Ablate stream: the rows of an ablation on their way to one client.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"

#include "server/search/explainer.h"
#include "server/service/ablation_to_proto.h"
#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"

namespace spar::service {

// At any time either the model's worker or gRPC has the call: rows are asked
// for, written, and only then asked for again. So it needs no lock and no
// queue, and a client that reads slowly slows its own ablation alone.
//
// Lives until gRPC is done with it (OnDone) and the worker has let go.
class AblateCall final : public StreamCall<AblateCall, v1::AblateResponse> {
 public:
  // Answers `request`; owned by gRPC and the worker. `registry` and `ledger`
  // outlive both.
  static AblateCall* Make(const ModelRegistry* registry,
                          CallLedger* ledger,
                          const v1::AblateRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  explicit AblateCall(CallLedger* ledger);

  absl::Status Begin(const ModelRegistry& registry,
                     const v1::AblateRequest& request);
  void OnStart(absl::StatusOr<std::shared_ptr<search::AblationTask>> task);
  void OnRows(absl::StatusOr<std::vector<models::AblationRow>> rows);
  // Asks for rows, or ends the call where there are no more.
  void Continue();

  AblationContext context_;  // constant once the ablation has started
  std::shared_ptr<search::AblationTask> task_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace spar::service
