// L5. The enums of attribution, on the wire and inside. The first entry of each
// table is the default.
#pragma once

#include "models/attribution.h"
#include "server/search/attribution.h"
#include "server/service/option_check.h"
#include "spar/v1/attribution.pb.h"

namespace spar::service {

inline constexpr EnumValue<models::NormGradient> kNormGradients[] = {
    {v1::NORM_GRADIENT_UNSPECIFIED, models::NormGradient::kFull},
    {v1::NORM_GRADIENT_FULL, models::NormGradient::kFull},
    {v1::NORM_GRADIENT_FROZEN, models::NormGradient::kFrozen},
};
inline constexpr EnumValue<models::AttributedRun> kAttributedRuns[] = {
    {v1::ATTRIBUTED_RUN_UNSPECIFIED, models::AttributedRun::kTarget},
    {v1::ATTRIBUTED_RUN_TARGET, models::AttributedRun::kTarget},
    {v1::ATTRIBUTED_RUN_IMPORTANCE, models::AttributedRun::kImportance},
    {v1::ATTRIBUTED_RUN_LISTED, models::AttributedRun::kListed},
};
inline constexpr EnumValue<graph::Weighting> kWeightings[] = {
    {v1::PATH_WEIGHTING_UNSPECIFIED, graph::Weighting::kShare},
    {v1::PATH_WEIGHTING_SHARE, graph::Weighting::kShare},
    {v1::PATH_WEIGHTING_EFFECT, graph::Weighting::kEffect},
    {v1::PATH_WEIGHTING_PRODUCT, graph::Weighting::kProduct},
};
inline constexpr EnumValue<models::SitePart> kSiteParts[] = {
    {v1::ATTRIBUTION_PART_EMBEDDING, models::SitePart::kEmbedding},
    {v1::ATTRIBUTION_PART_Q, models::SitePart::kQ},
    {v1::ATTRIBUTION_PART_K, models::SitePart::kK},
    {v1::ATTRIBUTION_PART_V, models::SitePart::kV},
    {v1::ATTRIBUTION_PART_QKV, models::SitePart::kQkv},
    {v1::ATTRIBUTION_PART_O, models::SitePart::kO},
    {v1::ATTRIBUTION_PART_GATE, models::SitePart::kGate},
    {v1::ATTRIBUTION_PART_UP, models::SitePart::kUp},
    {v1::ATTRIBUTION_PART_DOWN, models::SitePart::kDown},
    {v1::ATTRIBUTION_PART_HEADS, models::SitePart::kHeads},
    {v1::ATTRIBUTION_PART_NEURONS, models::SitePart::kNeurons},
    {v1::ATTRIBUTION_PART_LOGITS, models::SitePart::kLogits},
};
inline constexpr EnumValue<models::NodeKind> kNodeKinds[] = {
    {v1::ATTRIBUTION_NODE_KIND_SUBCOMPONENT, models::NodeKind::kSubcomponent},
    {v1::ATTRIBUTION_NODE_KIND_EMBEDDING, models::NodeKind::kEmbedding},
    {v1::ATTRIBUTION_NODE_KIND_DELTA, models::NodeKind::kDelta},
    {v1::ATTRIBUTION_NODE_KIND_BIAS, models::NodeKind::kBias},
    {v1::ATTRIBUTION_NODE_KIND_LOGIT, models::NodeKind::kLogit},
    {v1::ATTRIBUTION_NODE_KIND_NEURON, models::NodeKind::kNeuron},
    {v1::ATTRIBUTION_NODE_KIND_HEAD, models::NodeKind::kHead},
};

}  // namespace spar::service
