// L5. One Importances stream: what prompts come to on their way to one client.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"

#include "server/search/importances.h"
#include "server/service/call_ledger.h"
#include "server/service/importances_to_proto.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"
#include "spar/v1/decomposition_service.pb.h"

namespace spar::service {

// As AblateCall: some prompts are computed together, written message by
// message, and only then the next are asked for. So at any time either the
// model's worker or gRPC has the call, and a client that reads slowly slows its
// own call alone.
//
// Lives until gRPC is done with it (OnDone) and the worker has let go.
class ImportancesCall final
    : public StreamCall<ImportancesCall, v1::ImportancesResponse> {
 public:
  // Answers `request`; owned by gRPC and the worker. `registry` and `ledger`
  // outlive both.
  static ImportancesCall* Make(const ModelRegistry* registry,
                               CallLedger* ledger,
                               const v1::ImportancesRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  explicit ImportancesCall(CallLedger* ledger);

  absl::Status Start(const ModelRegistry& registry,
                     const v1::ImportancesRequest& request);
  // Writes the next message; else asks for the next prompts; else ends.
  void Advance();
  void AskForPrompts();
  void OnAnswers(absl::StatusOr<std::vector<search::ImportanceAnswer>> answers);

  ServedDecomposition decomposition_;    // constant once the call has started
  search::ImportanceQuestion question_;  // likewise
  size_t next_prompt_ = 0;               // not asked for yet
  size_t end_prompt_ = 0;                // of those under way
  std::stop_source stop_;

  std::optional<ImportanceMessages> messages_;  // of the prompts under way
};

}  // namespace spar::service
