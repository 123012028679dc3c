#include "client/spar_client.h"

#include <limits>
#include <utility>

#include "client/prompt_lists.h"
#include "client/rpc_status.h"
#include <grpcpp/grpcpp.h>

#include "base/status.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "spar/v1/ablation_service.grpc.pb.h"
#include "spar/v1/decomposition_service.grpc.pb.h"
#include "spar/v1/explanation_service.grpc.pb.h"
#include "spar/v1/model_service.grpc.pb.h"
#include "spar/v1/pruning_service.grpc.pb.h"

namespace spar::client {
namespace {

constexpr char kCollection[] = "models/";
constexpr int kMaxReceiveBytes = 64 << 20;
constexpr int kFirstReconnectMillis = 100;

bool IsLoopback(std::string_view target) {
  return target.starts_with("127.") || target.starts_with("localhost") ||
         target.starts_with("[::1]");
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   kFirstReconnectMillis);
  // A web proxy of the environment cannot reach this machine's loopback.
  if (IsLoopback(target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   arguments);
}

void SetTimeout(std::chrono::milliseconds timeout,
                grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

// One unary call: `method` is a member of `stub`.
template <typename Response, typename Stub, typename Method, typename Request>
absl::StatusOr<Response> Call(Stub& stub,
                              Method method,
                              const Request& request,
                              std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  SetTimeout(timeout, context);
  Response response;
  RETURN_IF_ERROR(FromGrpc((stub.*method)(&context, request, &response)));
  return response;
}

// One server stream, to its end: `method` is a member of `stub`, and `read`
// gets every message. Where it gives an error the call ends and that is its
// answer. `what` is what the client may have cancelled by `stop`.
template <typename Response,
          typename Stub,
          typename Method,
          typename Request,
          typename Read>
absl::Status Stream(Stub& stub,
                    Method method,
                    const Request& request,
                    std::optional<std::chrono::milliseconds> timeout,
                    std::stop_token stop,
                    std::string_view what,
                    const Read& read) {
  grpc::ClientContext context;
  if (timeout) SetTimeout(*timeout, context);
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  const auto stream = (stub.*method)(&context, request);
  absl::Status broken;
  Response response;
  while (stream->Read(&response)) {
    if (!broken.ok()) continue;
    broken = read(response);
    if (!broken.ok()) context.TryCancel();
  }
  const absl::Status status = FromGrpc(stream->Finish());
  RETURN_IF_ERROR(broken);
  if (!status.ok() && stop.stop_requested()) {
    return absl::CancelledError(
        base::Cat("the ", what, " was cancelled by its client"));
  }
  return status;
}

}  // namespace

struct Client::Stubs {
  explicit Stubs(std::shared_ptr<grpc::Channel> channel)
      : models(channel),
        explanations(channel),
        ablations(channel),
        decompositions(channel),
        prunings(channel),
        health(channel) {}

  v1::ModelService::Stub models;
  v1::ExplanationService::Stub explanations;
  v1::AblationService::Stub ablations;
  v1::DecompositionService::Stub decompositions;
  v1::PruningService::Stub prunings;
  grpc::health::v1::Health::Stub health;
};

Client::Client(const ClientOptions& options)
    : options_(options),
      stubs_(std::make_unique<Stubs>(MakeChannel(options.target))) {}

Client::~Client() = default;

absl::StatusOr<std::vector<v1::Model>> Client::ListModels() {
  std::vector<v1::Model> models;
  v1::ListModelsRequest request;
  do {
    ASSIGN_OR_RETURN(v1::ListModelsResponse response,
                     Call<v1::ListModelsResponse>(
                         stubs_->models, &v1::ModelService::Stub::ListModels,
                         request, options_.unary_timeout));
    models.insert(models.end(), response.models().begin(),
                  response.models().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return models;
}

absl::StatusOr<v1::Model> Client::GetModel(std::string_view name) {
  if (!name.empty()) {
    v1::GetModelRequest request;
    request.set_name(ModelName(name));
    ASSIGN_OR_RETURN(v1::GetModelResponse response,
                     Call<v1::GetModelResponse>(
                         stubs_->models, &v1::ModelService::Stub::GetModel,
                         request, options_.unary_timeout));
    return response.model();
  }
  ASSIGN_OR_RETURN(std::vector<v1::Model> models, ListModels());
  if (models.size() == 1) return std::move(models.front());
  if (models.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the server holds no model", {.reason = "NO_MODEL"});
  }
  std::string names;
  for (const v1::Model& model : models) {
    names += base::Cat(names.empty() ? "" : ", ", model.name());
  }
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     base::Cat("the server holds several models: ", names),
                     {.reason = "SEVERAL_MODELS",
                      .field = "model",
                      .metadata = {{"models", names}}});
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(
    const v1::TokenizeRequest& request) {
  return Call<v1::TokenizeResponse>(stubs_->models,
                                    &v1::ModelService::Stub::Tokenize, request,
                                    options_.unary_timeout);
}

absl::StatusOr<v1::PredictResponse> Client::Predict(
    const v1::PredictRequest& request) {
  return Call<v1::PredictResponse>(stubs_->models,
                                   &v1::ModelService::Stub::Predict, request,
                                   options_.unary_timeout);
}

absl::StatusOr<v1::VerifyResponse> Client::Verify(
    const v1::VerifyRequest& request) {
  return Call<v1::VerifyResponse>(stubs_->explanations,
                                  &v1::ExplanationService::Stub::Verify,
                                  request, options_.verify_timeout);
}

absl::StatusOr<v1::Explanation> Client::Crystallize(
    const v1::CrystallizeRequest& request,
    const OnEvent& on_event,
    std::stop_token stop) {
  std::optional<v1::Explanation> explanation;
  int64_t num_events = 0;
  bool gap = false;
  RETURN_IF_ERROR(Stream<v1::CrystallizeResponse>(
      stubs_->explanations, &v1::ExplanationService::Stub::Crystallize, request,
      options_.search_timeout, std::move(stop), "search",
      [&](v1::CrystallizeResponse& response) {
        if (response.has_explanation()) {
          explanation = std::move(*response.mutable_explanation());
        } else if (response.has_event()) {
          gap = gap || response.event().sequence() != ++num_events;
          if (on_event) on_event(response.event());
        }
        return absl::OkStatus();
      }));
  if (gap) return absl::DataLossError("events of the stream are missing");
  if (!explanation) {
    return absl::DataLossError("the stream ended without an explanation");
  }
  return *std::move(explanation);
}

absl::Status Client::Ablate(const v1::AblateRequest& request,
                            const OnAblation& on_message,
                            std::stop_token stop) {
  int64_t missing = 1;  // the start
  RETURN_IF_ERROR(Stream<v1::AblateResponse>(
      stubs_->ablations, &v1::AblationService::Stub::Ablate, request,
      options_.search_timeout, std::move(stop), "ablation",
      [&](const v1::AblateResponse& response) {
        if (response.has_start()) missing = response.start().row_count();
        missing -= response.rows().rows_size();
        on_message(response);
        return absl::OkStatus();
      }));
  if (missing == 0) return absl::OkStatus();
  return absl::DataLossError("rows of the stream are missing");
}

absl::StatusOr<v1::AttributionGraph> Client::Attribute(
    const v1::AttributeRequest& request,
    const OnMessage& on_message,
    std::stop_token stop) {
  v1::AttributionGraph graph;
  int64_t num_edges = 0;
  RETURN_IF_ERROR(Stream<v1::AttributeResponse>(
      stubs_->explanations, &v1::ExplanationService::Stub::Attribute, request,
      options_.search_timeout, std::move(stop), "graph",
      [&](v1::AttributeResponse& response) {
        if (on_message) on_message(response);
        if (response.has_header()) {
          graph.mutable_header()->Swap(response.mutable_header());
        } else if (response.has_nodes()) {
          graph.mutable_nodes()->MergeFrom(response.nodes().nodes());
        } else if (response.has_edges()) {
          num_edges += response.edges().sources_size();
          graph.add_edges()->Swap(response.mutable_edges());
        } else if (response.has_summary()) {
          graph.mutable_summary()->Swap(response.mutable_summary());
        }
        return absl::OkStatus();
      }));
  if (!graph.has_header() || !graph.has_summary() ||
      graph.nodes_size() != graph.header().node_count() ||
      num_edges != graph.summary().edge_count()) {
    return absl::DataLossError("the stream ended without the whole graph");
  }
  return graph;
}

absl::StatusOr<std::vector<v1::Decomposition>> Client::ListDecompositions(
    std::string_view model) {
  std::vector<v1::Decomposition> found;
  v1::ListDecompositionsRequest request;
  request.set_parent(std::string(model));
  do {
    ASSIGN_OR_RETURN(v1::ListDecompositionsResponse response,
                     Call<v1::ListDecompositionsResponse>(
                         stubs_->decompositions,
                         &v1::DecompositionService::Stub::ListDecompositions,
                         request, options_.unary_timeout));
    found.insert(found.end(), response.decompositions().begin(),
                 response.decompositions().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return found;
}

absl::StatusOr<v1::Decomposition> Client::GetDecomposition(
    const v1::GetDecompositionRequest& request) {
  ASSIGN_OR_RETURN(v1::GetDecompositionResponse response,
                   Call<v1::GetDecompositionResponse>(
                       stubs_->decompositions,
                       &v1::DecompositionService::Stub::GetDecomposition,
                       request, options_.unary_timeout));
  return std::move(*response.mutable_decomposition());
}

absl::Status Client::Importances(const v1::ImportancesRequest& request,
                                 const OnImportances& on_message,
                                 std::stop_token stop) {
  PromptReader reader;
  RETURN_IF_ERROR(Stream<v1::ImportancesResponse>(
      stubs_->decompositions, &v1::DecompositionService::Stub::Importances,
      request, options_.search_timeout, std::move(stop), "call",
      [&](const v1::ImportancesResponse& response) {
        absl::Status added = reader.Add(response);
        if (added.ok()) on_message(response);
        return added;
      }));
  return reader.Finish();
}

absl::StatusOr<PruneAnswer> Client::Prune(const v1::PruneRequest& request,
                                          const OnPruning& on_message,
                                          std::stop_token stop) {
  PruneReader reader;
  RETURN_IF_ERROR(Stream<v1::PruneResponse>(
      stubs_->prunings, &v1::PruningService::Stub::Prune, request,
      options_.search_timeout, std::move(stop), "pruning",
      [&](const v1::PruneResponse& response) {
        absl::Status added = reader.Add(response);
        if (added.ok() && on_message) on_message(response);
        return added;
      }));
  ASSIGN_OR_RETURN(PruneAnswer answer, std::move(reader).Finish());
  if (request.has_crystallize() && answer.explanations.empty()) {
    return absl::DataLossError("the stream of a pruning lacks explanations");
  }
  return answer;
}

absl::StatusOr<EvaluationAnswer> Client::Evaluate(
    const v1::EvaluateRequest& request,
    const OnEvaluation& on_message,
    std::stop_token stop) {
  EvaluationReader reader;
  RETURN_IF_ERROR(Stream<v1::EvaluateResponse>(
      stubs_->decompositions, &v1::DecompositionService::Stub::Evaluate,
      request, options_.search_timeout, std::move(stop), "evaluation",
      [&](const v1::EvaluateResponse& response) {
        absl::Status added = reader.Add(response);
        if (added.ok() && on_message) on_message(response);
        return added;
      }));
  return std::move(reader).Finish();
}

absl::StatusOr<v1::TrainingSummary> Client::Train(
    const v1::TrainRequest& request,
    const OnTraining& on_message,
    std::stop_token stop) {
  std::optional<v1::TrainingSummary> summary;
  RETURN_IF_ERROR(Stream<v1::TrainResponse>(
      stubs_->decompositions, &v1::DecompositionService::Stub::Train, request,
      options_.search_timeout, std::move(stop), "training",
      [&](const v1::TrainResponse& response) {
        if (response.has_summary()) summary = response.summary();
        if (on_message) on_message(response);
        return absl::OkStatus();
      }));
  if (summary.has_value()) return *std::move(summary);
  return absl::DataLossError("the stream ended without a summary");
}

absl::Status Client::WaitUntilServing(std::string_view service,
                                      std::chrono::milliseconds timeout) {
  using Response = grpc::health::v1::HealthCheckResponse;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  grpc::ClientContext context;
  SetTimeout(timeout, context);
  context.set_wait_for_ready(true);
  const auto stream = stubs_->health.Watch(&context, request);
  Response response;
  absl::Status verdict = absl::UnavailableError("the health watch ended");
  while (stream->Read(&response)) {
    if (response.status() == Response::SERVING) {
      verdict = absl::OkStatus();
    } else if (response.status() == Response::SERVICE_UNKNOWN) {
      verdict = absl::NotFoundError(base::AbslView(
          base::Cat("the server has no service \"", service, "\"")));
    } else {
      continue;
    }
    context.TryCancel();
    stream->Finish();
    return verdict;
  }
  const absl::Status status = FromGrpc(stream->Finish());
  return status.ok() ? verdict : status;
}

std::string ModelName(std::string_view name) {
  if (name.starts_with(kCollection)) return std::string(name);
  return base::Cat(kCollection, name);
}

std::string DecompositionName(std::string_view name) {
  const size_t slash = name.find('/');
  if (name.starts_with(kCollection) || slash == name.npos) {
    return std::string(name);
  }
  return base::Cat(kCollection, name.substr(0, slash), "/decompositions/",
                   name.substr(slash + 1));
}

absl::StatusOr<std::vector<int32_t>> UnpackIds(
    const google::protobuf::RepeatedField<int32_t>& deltas) {
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(deltas.size()));
  int64_t id = 0;
  for (const int32_t delta : deltas) {
    const bool first = ids.empty();
    id += delta;
    if (delta < (first ? 0 : 1) || id > std::numeric_limits<int32_t>::max()) {
      return absl::DataLossError(
          base::AbslView(base::Cat("packed ids do not ascend: difference ",
                                   delta, " after ", ids.size(), " ids")));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace spar::client
