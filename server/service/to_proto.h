// L5. Answers to the wire.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/backend.h"
#include "server/search/explainer.h"
#include "server/search/explanation.h"
#include "server/service/model_registry.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::service {

void SetDuration(double seconds, google::protobuf::Duration* to);

void ToProto(const ServedModel& model, v1::Model* to);

void ToProto(models::TokenId token,
             const models::Tokenizer& tokenizer,
             v1::Token* to);

// `predictions` is [position]; all of them or the last one alone.
void ToProto(std::span<const models::TokenId> tokens,
             std::span<const models::PositionPrediction> predictions,
             bool every_position,
             const models::Tokenizer& tokenizer,
             v1::PredictResponse* to);

// What the events and the end of one search share.
struct AnswerContext {
  const ServedModel* model = nullptr;        // outlives the search
  std::vector<models::TokenId> tokens = {};  // of the prompt
  models::UnitTable units = {};              // of the question
  int num_units = 0;                         // of the scheme
};

void ToProto(const search::Event& event,
             const AnswerContext& context,
             v1::CrystallizeEvent* to);

// Leaves the certificate out when it would not fit in a message, and says so
// in the remark.
void ToProto(const search::Explanation& explanation,
             const AnswerContext& context,
             v1::Explanation* to);

void ToProto(const search::Verification& verification, v1::VerifyResponse* to);

}  // namespace spar::service
