// L5. The C++ client of a Spar server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/evaluation_answer.h"
#include "client/prune_answer.h"

#include "spar/v1/ablation_service.pb.h"
#include "spar/v1/decomposition_service.pb.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::client {

struct ClientOptions {
  std::string target = "127.0.0.1:7430";  // any gRPC target
  std::chrono::milliseconds unary_timeout{30'000};
  std::chrono::milliseconds verify_timeout{600'000};
  // Of the whole stream; absent means that a search takes what it takes. To
  // get the best set found in a given time, set options.max_duration instead.
  std::optional<std::chrono::milliseconds> search_timeout = std::nullopt;
};

// One channel to one server. Thread-safe; calls block their caller. Every
// error is the server's, with reason, field and metadata where it sent them
// (base::DetailOf), or the transport's: kUnavailable when the server cannot be
// reached, kDeadlineExceeded.
class Client {
 public:
  explicit Client(const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // All resident models, by name; reads every page.
  absl::StatusOr<std::vector<v1::Model>> ListModels();
  // `name` with or without "models/". An empty name means the only model:
  // kFailedPrecondition (NO_MODEL, SEVERAL_MODELS) where there is no such.
  absl::StatusOr<v1::Model> GetModel(std::string_view name);

  absl::StatusOr<v1::TokenizeResponse> Tokenize(
      const v1::TokenizeRequest& request);
  absl::StatusOr<v1::PredictResponse> Predict(
      const v1::PredictRequest& request);
  absl::StatusOr<v1::VerifyResponse> Verify(const v1::VerifyRequest& request);

  using OnEvent = std::function<void(const v1::CrystallizeEvent&)>;
  // Calls `on_event` on this thread for every verified restriction, then
  // returns the explanation. `stop` may be requested from any thread, also
  // from `on_event`: the server then drops the search and this returns
  // kCancelled. kDataLoss when the events do not count 1, 2, 3, ...
  absl::StatusOr<v1::Explanation> Crystallize(
      const v1::CrystallizeRequest& request,
      const OnEvent& on_event,
      std::stop_token stop = {});

  using OnAblation = std::function<void(const v1::AblateResponse&)>;
  // Calls `on_message` on this thread for every message, the start first.
  // `stop` as Crystallize's; bounded by search_timeout. kDataLoss when the
  // rows are not as many as the start said.
  absl::Status Ablate(const v1::AblateRequest& request,
                      const OnAblation& on_message,
                      std::stop_token stop = {});

  using OnMessage = std::function<void(const v1::AttributeResponse&)>;
  // Calls `on_message` on this thread for every message of the stream, then
  // returns the whole graph. `stop` as above. kDataLoss when the stream lacks
  // its header, its summary, or nodes or edges that they count.
  absl::StatusOr<v1::AttributionGraph> Attribute(
      const v1::AttributeRequest& request,
      const OnMessage& on_message,
      std::stop_token stop = {});

  // The decompositions of one model ("models/NAME"), by name; reads every page.
  absl::StatusOr<std::vector<v1::Decomposition>> ListDecompositions(
      std::string_view model);
  absl::StatusOr<v1::Decomposition> GetDecomposition(
      const v1::GetDecompositionRequest& request);

  using OnImportances = std::function<void(const v1::ImportancesResponse&)>;
  // Calls `on_message` on this thread for every message, the start first.
  // `stop` as above; bounded by search_timeout. kDataLoss where the messages do
  // not fit each other or lack something (PromptReader); none of those reaches
  // `on_message`.
  absl::Status Importances(const v1::ImportancesRequest& request,
                           const OnImportances& on_message,
                           std::stop_token stop = {});

  using OnPruning = std::function<void(const v1::PruneResponse&)>;
  // Calls `on_message` on this thread for every message, the header first, then
  // returns all but the progress. `stop` as above; bounded by search_timeout.
  // kDataLoss where the messages do not fit each other or lack something
  // (PruneReader), also the explanations that the request asks for.
  absl::StatusOr<PruneAnswer> Prune(const v1::PruneRequest& request,
                                    const OnPruning& on_message,
                                    std::stop_token stop = {});

  using OnEvaluation = std::function<void(const v1::EvaluateResponse&)>;
  // Calls `on_message` on this thread for every message, the header first, then
  // returns all but the progress. `stop` as above; bounded by search_timeout.
  // kDataLoss where the messages do not fit each other or lack something
  // (EvaluationReader).
  absl::StatusOr<EvaluationAnswer> Evaluate(const v1::EvaluateRequest& request,
                                            const OnEvaluation& on_message,
                                            std::stop_token stop = {});

  using OnTraining = std::function<void(const v1::TrainResponse&)>;
  // Calls `on_message` on this thread for every message, then returns the last.
  // `stop` ends the training, which leaves a checkpoint; bounded by
  // search_timeout. kDataLoss when the stream ends without its summary.
  absl::StatusOr<v1::TrainingSummary> Train(const v1::TrainRequest& request,
                                            const OnTraining& on_message,
                                            std::stop_token stop = {});

  // Waits until grpc.health.v1 says SERVING for `service` ("" is the whole
  // server), also for a server that does not listen yet. kDeadlineExceeded,
  // or kNotFound for an unknown service.
  absl::Status WaitUntilServing(std::string_view service,
                                std::chrono::milliseconds timeout);

 private:
  struct Stubs;

  const ClientOptions options_;
  const std::unique_ptr<Stubs> stubs_;
};

// "models/NAME", whether or not `name` has the prefix.
std::string ModelName(std::string_view name);

// "models/MODEL/decompositions/NAME" of MODEL/NAME; other names, and whole
// ones, as they are.
std::string DecompositionName(std::string_view name);

// The ids that CrystallizeEvent and Explanation pack as unit_id_deltas.
// kDataLoss when they do not ascend within int32.
absl::StatusOr<std::vector<int32_t>> UnpackIds(
    const google::protobuf::RepeatedField<int32_t>& deltas);

}  // namespace spar::client
