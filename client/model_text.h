// L5. Models, predictions, tokens and verifications as people read them.
#pragma once

#include <string>
#include <vector>

#include "client/style.h"

#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {

std::string FormatModels(const std::vector<v1::Model>& models,
                         const Style& style);

// Position, id and text of every token.
std::string FormatTokens(const v1::TokenizeResponse& response);

// The likeliest next tokens with their probabilities as bars.
std::string FormatPrediction(const v1::PredictResponse& response,
                             const Style& style);

std::string FormatVerification(const v1::VerifyResponse& response,
                               const Style& style);

}  // namespace spar::client
