#include "server/service/decomposition_to_proto.h"

#include "models/decomposition_spec.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"

namespace spar::service {
namespace {

using models::CiKind;
using models::CiSigmoid;
using models::MaskSampling;
using models::ModuleSite;

constexpr EnumValue<CiKind> kKinds[] = {
    {v1::IMPORTANCE_FUNCTION_KIND_MLP, CiKind::kMlp},
    {v1::IMPORTANCE_FUNCTION_KIND_VECTOR_MLP, CiKind::kVectorMlp},
    {v1::IMPORTANCE_FUNCTION_KIND_SHARED_MLP, CiKind::kSharedMlp},
    {v1::IMPORTANCE_FUNCTION_KIND_SEQUENCE_MLP, CiKind::kSequenceMlp},
    {v1::IMPORTANCE_FUNCTION_KIND_GLOBAL_SHARED_MLP, CiKind::kGlobalSharedMlp},
    {v1::IMPORTANCE_FUNCTION_KIND_GLOBAL_SHARED_TRANSFORMER,
     CiKind::kGlobalSharedTransformer},
    {v1::IMPORTANCE_FUNCTION_KIND_GLOBAL_REVERSE_RESIDUAL,
     CiKind::kGlobalReverseResidual},
};
constexpr EnumValue<CiSigmoid> kSigmoids[] = {
    {v1::IMPORTANCE_SIGMOID_LEAKY_HARD, CiSigmoid::kLeakyHard},
    {v1::IMPORTANCE_SIGMOID_HARD, CiSigmoid::kHard},
    {v1::IMPORTANCE_SIGMOID_UPPER_LEAKY_HARD, CiSigmoid::kUpperLeakyHard},
    {v1::IMPORTANCE_SIGMOID_SWISH_HARD, CiSigmoid::kSwishHard},
    {v1::IMPORTANCE_SIGMOID_NORMAL, CiSigmoid::kNormal},
};
constexpr EnumValue<MaskSampling> kSamplings[] = {
    {v1::MASK_SAMPLING_CONTINUOUS, MaskSampling::kContinuous},
    {v1::MASK_SAMPLING_BINOMIAL, MaskSampling::kBinomial},
};
constexpr EnumValue<ModuleSite> kParts[] = {
    {v1::ATTRIBUTION_PART_EMBEDDING, ModuleSite::kEmbedding},
    {v1::ATTRIBUTION_PART_Q, ModuleSite::kQ},
    {v1::ATTRIBUTION_PART_K, ModuleSite::kK},
    {v1::ATTRIBUTION_PART_V, ModuleSite::kV},
    {v1::ATTRIBUTION_PART_QKV, ModuleSite::kQkv},
    {v1::ATTRIBUTION_PART_O, ModuleSite::kO},
    {v1::ATTRIBUTION_PART_GATE, ModuleSite::kGate},
    {v1::ATTRIBUTION_PART_UP, ModuleSite::kUp},
    {v1::ATTRIBUTION_PART_DOWN, ModuleSite::kDown},
};

void SetFunction(const models::DecompositionSpec& spec,
                 v1::ImportanceFunction* to) {
  to->set_kind(static_cast<v1::ImportanceFunctionKind>(
      EnumToProto(kKinds, spec.ci.kind)));
  to->set_sigmoid(
      static_cast<v1::ImportanceSigmoid>(EnumToProto(kSigmoids, spec.sigmoid)));
  to->mutable_hidden_widths()->Assign(spec.ci.hidden.begin(),
                                      spec.ci.hidden.end());
  to->set_width(spec.ci.width);
  to->set_block_count(spec.ci.num_blocks);
  if (spec.ci.attention.has_value()) {
    to->set_max_token_count(spec.ci.attention->max_positions);
  }
}

void SetModule(const models::DecomposedModule& module,
               const models::ModuleMeasures& measures,
               bool with_norms,
               v1::DecompositionModule* to) {
  to->set_name(module.name);
  to->set_layer(module.layer);
  to->set_part(ToProto(module.site));
  to->set_input_width(module.d_in);
  to->set_output_width(module.d_out);
  to->set_subcomponent_count(module.num_components);
  if (module.num_alive.has_value()) to->set_alive_count(*module.num_alive);
  to->set_weight_norm(measures.weight_norm);
  to->set_delta_norm(measures.delta_norm);
  if (with_norms) {
    to->mutable_subcomponent_norms()->Assign(measures.component_norms.begin(),
                                             measures.component_norms.end());
  }
}

}  // namespace

v1::AttributionPart ToProto(models::ModuleSite site) {
  return static_cast<v1::AttributionPart>(EnumToProto(kParts, site));
}

void ToProto(const ServedDecomposition& decomposition,
             const DecompositionPart& part,
             v1::Decomposition* to) {
  const models::DecompositionInfo& info = *decomposition.info;
  to->set_name(decomposition.ResourceName());
  to->set_digest(info.digest);
  to->set_target_weights_digest(info.spec.target_weights_digest);
  to->set_module_count(static_cast<int32_t>(info.spec.modules.size()));
  to->set_subcomponent_count(info.spec.num_components());
  SetFunction(info.spec, to->mutable_importance_function());
  to->set_sampling(static_cast<v1::MaskSampling>(
      EnumToProto(kSamplings, info.spec.sampling)));
  to->set_has_delta(info.spec.has_delta);
  to->set_dtype(info.dtype);
  to->set_memory_bytes(info.memory_bytes);
  to->set_identity_error(info.identity_error);
  to->set_training_byte_count(std::ssize(info.spec.training_json));
  if (part.view == v1::DECOMPOSITION_VIEW_BASIC) return;
  for (const int m : part.modules) {
    SetModule(info.spec.modules[m], info.modules[m],
              part.view == v1::DECOMPOSITION_VIEW_FULL, to->add_modules());
  }
  if (info.spec.training_json.size() <= kMaxTrainingBytes) {
    to->set_training_json(info.spec.training_json);
  }
}

}  // namespace spar::service
