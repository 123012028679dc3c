#include "server/service/model_service.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"
#include "server/service/to_proto.h"
#include "server/service/unary_call.h"

namespace spar::service {
namespace {

// What a prediction needs before it is handed to the explainer.
struct Prediction {
  const ServedModel* model = nullptr;
  std::vector<models::TokenId> tokens = {};
  int top_k = 0;
};

absl::StatusOr<Prediction> PredictionFromProto(
    const v1::PredictRequest& request, const ModelRegistry& registry) {
  Prediction prediction;
  ASSIGN_OR_RETURN(prediction.model, registry.Find(request.model(), "model"));
  ASSIGN_OR_RETURN(prediction.tokens,
                   TokensFromProto(request.prompt(), *prediction.model));
  ASSIGN_OR_RETURN(prediction.top_k,
                   TopKFromProto(request, prediction.tokens.size()));
  return prediction;
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(
    grpc::CallbackServerContext* /*context*/,
    const v1::ListModelsRequest* request,
    v1::ListModelsResponse* response) {
  auto* call = new UnaryCall(ledger_, "spar.v1.ModelService/ListModels");
  call->Answer(call->admission().ok() ? List(*request, response)
                                      : call->admission());
  return call;
}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* /*context*/,
    const v1::GetModelRequest* request,
    v1::GetModelResponse* response) {
  auto* call = new UnaryCall(ledger_, "spar.v1.ModelService/GetModel");
  call->Answer(call->admission().ok() ? Get(*request, response)
                                      : call->admission());
  return call;
}

grpc::ServerUnaryReactor* ModelService::Tokenize(
    grpc::CallbackServerContext* /*context*/,
    const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  auto* call = new UnaryCall(ledger_, "spar.v1.ModelService/Tokenize");
  call->Answer(call->admission().ok() ? Encode(*request, response)
                                      : call->admission());
  return call;
}

grpc::ServerUnaryReactor* ModelService::Predict(
    grpc::CallbackServerContext* /*context*/,
    const v1::PredictRequest* request,
    v1::PredictResponse* response) {
  auto* call = new UnaryCall(ledger_, "spar.v1.ModelService/Predict");
  if (!call->admission().ok()) {
    call->Answer(call->admission());
    return call;
  }
  absl::StatusOr<Prediction> asked = PredictionFromProto(*request, *registry_);
  if (!asked.ok()) {
    call->Answer(asked.status());
    return call;
  }
  const ServedModel* model = asked->model;
  const std::vector<models::TokenId> tokens = asked->tokens;
  const bool every_position = request->every_position();
  model->explainer->Predict(
      std::move(asked->tokens), asked->top_k,
      [=](absl::StatusOr<std::vector<models::PositionPrediction>> result) {
        if (result.ok()) {
          ToProto(tokens, *result, every_position, *model->tokenizer, response);
        }
        call->Answer(result.status());
      });
  return call;
}

absl::Status ModelService::List(const v1::ListModelsRequest& request,
                                v1::ListModelsResponse* response) const {
  ASSIGN_OR_RETURN(const Page page,
                   PageFromProto(request.page_size(), request.page_token()));
  const std::vector<const ServedModel*> models =
      registry_->List(page.after, page.size + 1);
  for (size_t i = 0; i < models.size() && i < page.size; ++i) {
    ToProto(*models[i], response->add_models());
  }
  if (models.size() > page.size) {
    response->set_next_page_token(PageTokenAfter(models[page.size - 1]->id));
  }
  return absl::OkStatus();
}

absl::Status ModelService::Get(const v1::GetModelRequest& request,
                               v1::GetModelResponse* response) const {
  ASSIGN_OR_RETURN(const ServedModel* model,
                   registry_->Find(request.name(), "name"));
  ToProto(*model, response->mutable_model());
  return absl::OkStatus();
}

absl::Status ModelService::Encode(const v1::TokenizeRequest& request,
                                  v1::TokenizeResponse* response) const {
  ASSIGN_OR_RETURN(const ServedModel* model,
                   registry_->Find(request.model(), "model"));
  const models::EncodeOptions options{
      .parse_special = !request.ignore_special_tokens(),
      .add_special_tokens = true};
  ASSIGN_OR_RETURN(
      const std::vector<models::TokenId> tokens,
      TokensFromText(request.text(), options, *model->tokenizer, "text"));
  if (tokens.size() > kMaxTokenizedTokens) {
    return base::InvalidArgument(
        "TEXT_TOO_LONG", "text",
        base::Cat("text has ", tokens.size(), " tokens: want at most ",
                  kMaxTokenizedTokens),
        {{"token_count", base::Cat(tokens.size())},
         {"max_token_count", base::Cat(kMaxTokenizedTokens)}});
  }
  for (const models::TokenId token : tokens) {
    ToProto(token, *model->tokenizer, response->add_tokens());
  }
  return absl::OkStatus();
}

}  // namespace spar::service
