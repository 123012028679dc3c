// L5. One Attribute stream: a graph on its way to one client.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "server/service/attribution_to_proto.h"
#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"
#include "spar/v1/attribution.pb.h"

namespace spar::service {

// Lives until gRPC is done with it (OnDone) and the graph is made; the two hold
// it together. The graph waits whole for the client, and one message at a time
// is made of it, so a slow client costs no queue; how many graphs wait is
// bounded (TOO_MANY_GRAPHS).
class AttributeCall final
    : public StreamCall<AttributeCall, v1::AttributeResponse> {
 public:
  // Answers `request`; owned by gRPC and the work. `registry` and `ledger`
  // outlive both.
  static AttributeCall* Make(const ModelRegistry* registry,
                             CallLedger* ledger,
                             const v1::AttributeRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  explicit AttributeCall(CallLedger* ledger);

  absl::Status Start(const ModelRegistry& registry,
                     const v1::AttributeRequest& request);
  void OnGraph(
      absl::StatusOr<std::shared_ptr<const search::Attribution>> graph);
  // Sends what is next. Once the graph is there, each call comes after the one
  // before.
  void Advance();

  const ServedModel* model_ = nullptr;    // constant once the work has started
  search::AttributionQuestion question_;  // likewise
  std::stop_source stop_;

  std::optional<AttributionMessages> messages_;  // of the graph
};

}  // namespace spar::service
