#include "server/service/to_proto.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "server/search/certificate.h"
#include "server/service/clean_text.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

constexpr size_t kMaxSentenceBytes = 4'096;

v1::Phase PhaseToProto(search::Phase phase) {
  switch (phase) {
    case search::Phase::kBaseline:
      return v1::PHASE_BASELINE;
    case search::Phase::kPositions:
      return v1::PHASE_POSITIONS;
    case search::Phase::kScores:
      return v1::PHASE_SCORES;
    case search::Phase::kPrefix:
      return v1::PHASE_PREFIX;
    case search::Phase::kDeletion:
      return v1::PHASE_DELETION;
    case search::Phase::kPositionsGivenUnits:
      return v1::PHASE_POSITIONS_GIVEN_UNITS;
    case search::Phase::kCertificate:
      return v1::PHASE_CERTIFICATE;
    case search::Phase::kImprovement:
      return v1::PHASE_IMPROVEMENT;
    case search::Phase::kAssessment:
      return v1::PHASE_ASSESSMENT;
    case search::Phase::kAttack:
      return v1::PHASE_ATTACK;
  }
  return v1::PHASE_UNSPECIFIED;
}

v1::Verdict VerdictToProto(search::Verdict verdict) {
  switch (verdict) {
    case search::Verdict::kCrystallized:
      return v1::VERDICT_CRYSTALLIZED;
    case search::Verdict::kPrior:
      return v1::VERDICT_PRIOR;
    case search::Verdict::kDistributed:
      return v1::VERDICT_DISTRIBUTED;
    case search::Verdict::kUnstable:
      return v1::VERDICT_UNSTABLE;
    case search::Verdict::kBudgetExhausted:
      return v1::VERDICT_BUDGET_EXHAUSTED;
  }
  return v1::VERDICT_UNSPECIFIED;
}

v1::CertificateVerdict VerdictToProto(search::CertificateVerdict verdict) {
  switch (verdict) {
    case search::CertificateVerdict::kValid:
      return v1::CERTIFICATE_VERDICT_VALID;
    case search::CertificateVerdict::kValidWithBorderline:
      return v1::CERTIFICATE_VERDICT_VALID_WITH_BORDERLINE;
    case search::CertificateVerdict::kInvalid:
      return v1::CERTIFICATE_VERDICT_INVALID;
  }
  return v1::CERTIFICATE_VERDICT_UNSPECIFIED;
}

void SetEffort(const search::Effort& effort, v1::Effort* to) {
  to->set_row_count(effort.rows);
  to->set_gradient_row_count(effort.gradient_rows);
  to->set_round_count(effort.rounds);
  SetDuration(effort.seconds, to->mutable_elapsed());
}

void SetEstimate(const search::Estimate& estimate, v1::Estimate* to) {
  to->set_value(estimate.value);
  to->set_low(estimate.low);
  to->set_high(estimate.high);
  to->set_sample_count(estimate.num_samples);
}

void SetUnit(models::UnitId id, const models::UnitTable& table, v1::Unit* to) {
  const models::Unit unit = table.At(id);
  to->set_id(id);
  to->set_name(table.Name(id));
  to->set_layer(unit.layer);
  to->set_kind(std::string(models::UnitKindName(unit.kind)));
  to->set_index(unit.index);
  if (unit.module >= 0) to->set_module(table.module(unit.module).name);
  if (unit.position >= 0) to->set_position(unit.position);
}

// `Message` has the fields units, unit_id_deltas, and kept_unit_count.
template <typename Message>
void SetUnits(const std::vector<models::UnitId>& units,
              const models::UnitTable& table,
              Message* to) {
  to->set_kept_unit_count(static_cast<int32_t>(units.size()));
  to->mutable_unit_id_deltas()->Reserve(static_cast<int>(units.size()));
  models::UnitId before = 0;
  for (const models::UnitId id : units) {
    to->add_unit_id_deltas(id - before);
    before = id;
  }
  if (units.size() > kMaxNamedUnits) return;
  to->mutable_units()->Reserve(static_cast<int>(units.size()));
  for (const models::UnitId id : units) SetUnit(id, table, to->add_units());
}

template <typename Message>
void SetPositions(const std::vector<int32_t>& positions,
                  const AnswerContext& context,
                  Message* to) {
  for (const int32_t index : positions) {
    v1::Position* position = to->add_positions();
    position->set_index(index);
    ToProto(context.tokens[index], *context.model->tokenizer,
            position->mutable_token());
  }
}

void SetCertificate(const search::Certificate& from,
                    std::string json,
                    v1::Certificate* to) {
  to->set_digest(search::CertificateDigest(json));
  to->set_canonical_json(std::move(json));
  to->set_model_digest(from.model_digest);
  to->mutable_token_ids()->Assign(from.tokens.begin(), from.tokens.end());
  to->set_target_id(from.target);
  to->mutable_unit_ids()->Assign(from.units.begin(), from.units.end());
  if (from.unit_names.size() <= kMaxNamedUnits) {
    to->mutable_unit_names()->Assign(from.unit_names.begin(),
                                     from.unit_names.end());
  }
  to->mutable_positions()->Assign(from.positions.begin(), from.positions.end());
  to->set_tau(from.tau);
  to->set_required_margin(from.required_margin);
  to->set_margin(from.margin);
  const auto assign = [](const std::vector<double>& values, auto* field) {
    field->Assign(values.begin(), values.end());
  };
  assign(from.unit_deletion_margins, to->mutable_unit_deletion_margins());
  assign(from.position_deletion_margins,
         to->mutable_position_deletion_margins());
  assign(from.position_deletion_precisions,
         to->mutable_position_deletion_precisions());
  assign(from.unit_deletion_contrasts, to->mutable_unit_deletion_contrasts());
  to->set_empty_margin(from.margin_empty);
  to->set_full_margin(from.margin_full);
  to->set_borderline_count(from.num_borderline);
  to->set_decomposition_digest(from.decomposition_digest);
}

}  // namespace

void SetDuration(double seconds, google::protobuf::Duration* to) {
  const double whole = std::floor(seconds);
  to->set_seconds(static_cast<int64_t>(whole));
  to->set_nanos(static_cast<int32_t>((seconds - whole) * 1e9));
}

void ToProto(const ServedModel& model, v1::Model* to) {
  const models::ModelInfo& info = model.explainer->info();
  to->set_name(model.ResourceName());
  to->set_family(info.family);
  to->set_digest(info.digest);
  to->set_layer_count(info.num_layers);
  to->set_width(info.width);
  to->set_head_count(info.num_heads);
  to->set_neuron_count(info.num_neurons);
  to->set_vocab_size(info.vocab_size);
  to->set_context_length(info.context_length);
  to->set_parameter_count(info.num_parameters);
  to->set_dtype(info.dtype);
  to->set_device(info.device);
  to->set_unit_count(model.explainer->units().size());
  to->set_noise_floor(model.explainer->calibration().noise_floor);
  to->set_has_reference_prompts(model.explainer->has_reference_prompts());
  const auto since_epoch = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               model.load_time.time_since_epoch())
                               .count();
  to->mutable_load_time()->set_seconds(since_epoch / 1'000'000'000);
  to->mutable_load_time()->set_nanos(
      static_cast<int32_t>(since_epoch % 1'000'000'000));
  const std::span<const models::DecompositionInfo> decompositions =
      model.explainer->decompositions();
  for (const models::DecompositionInfo& decomposition : decompositions) {
    v1::ModelDecomposition* const added = to->add_decompositions();
    added->set_name(model.DecompositionName(decomposition.name));
    added->set_memory_bytes(decomposition.memory_bytes);
  }
}

void ToProto(models::TokenId token,
             const models::Tokenizer& tokenizer,
             v1::Token* to) {
  to->set_id(token);
  to->set_text(tokenizer.TokenText(token));
}

void ToProto(std::span<const models::TokenId> tokens,
             std::span<const models::PositionPrediction> predictions,
             bool every_position,
             const models::Tokenizer& tokenizer,
             v1::PredictResponse* to) {
  for (const models::TokenId token : tokens) {
    ToProto(token, tokenizer, to->add_prompt());
  }
  const size_t first = every_position ? 0 : predictions.size() - 1;
  for (size_t p = first; p < predictions.size(); ++p) {
    v1::PositionPrediction* prediction = to->add_predictions();
    prediction->set_position(static_cast<int32_t>(p));
    ToProto(tokens[p], tokenizer, prediction->mutable_token());
    for (const models::TokenScore& score : predictions[p].top) {
      v1::TokenScore* top = prediction->add_top();
      ToProto(score.token, tokenizer, top->mutable_token());
      top->set_logit(score.logit);
      top->set_log_probability(score.log_probability);
    }
    if (p + 1 < predictions.size()) {
      prediction->set_next_token_log_probability(
          predictions[p].next_token_log_probability);
    }
  }
}

static void SetCurve(const std::vector<std::pair<int, double>>& from,
                     google::protobuf::RepeatedPtrField<v1::AttackPoint>* to) {
  for (const auto& [steps, margin] : from) {
    v1::AttackPoint* const point = to->Add();
    point->set_step_count(steps);
    point->set_worst_margin(margin);
  }
}

static void SetRobustness(const search::Robustness& from, v1::Robustness* to) {
  to->set_step_count(from.steps);
  to->set_step_size(from.step_size);
  to->set_restart_count(from.restarts);
  to->set_holds(from.holds);
  SetCurve(from.curve, to->mutable_curve());
  SetCurve(from.plain_curve, to->mutable_plain_curve());
  to->set_plain_unit_count(from.plain_units);
}

void ToProto(const search::Event& event,
             const AnswerContext& context,
             v1::CrystallizeEvent* to) {
  to->set_sequence(event.sequence);
  to->set_phase(PhaseToProto(event.phase));
  SetUnits(event.units, context.units, to);
  SetPositions(event.positions, context, to);
  to->set_margin(event.margin);
  SetEffort(event.effort, to->mutable_effort());
  to->set_unit_count(context.num_units);
}

void ToProto(const search::Explanation& from,
             const AnswerContext& context,
             v1::Explanation* to) {
  const models::Tokenizer& tokenizer = *context.model->tokenizer;
  to->set_verdict(VerdictToProto(from.verdict));
  to->set_last_phase(PhaseToProto(from.last_phase));
  for (const models::TokenId token : from.tokens) {
    ToProto(token, tokenizer, to->add_prompt());
  }
  ToProto(from.target, tokenizer, to->mutable_target());
  SetUnits(from.units, context.units, to);
  SetPositions(from.positions, context, to);
  to->set_unit_count(from.num_units);
  to->set_parameter_share(from.parameter_share);
  to->set_margin(from.margin);
  to->set_full_margin(from.margin_full);
  to->set_empty_margin(from.margin_empty);
  SetEstimate(from.precision, to->mutable_precision());
  SetEstimate(from.contrast, to->mutable_contrast());
  to->set_telling(from.telling);
  to->set_remark(from.remark);
  if (from.certificate.has_value()) {
    std::string json = search::CertificateToJson(*from.certificate);
    if (json.size() <= kMaxCertificateBytes) {
      SetCertificate(*from.certificate, std::move(json),
                     to->mutable_certificate());
    } else {
      to->set_remark(base::Cat(
          from.remark, " The certificate is left out: it has ", json.size(),
          " bytes, a message holds ", kMaxCertificateBytes, "."));
    }
  }
  for (const auto& [share, margin] : from.margin_curve) {
    v1::MarginPoint* point = to->add_margin_curve();
    point->set_kept_share(share);
    point->set_margin(margin);
  }
  if (from.margin_complement.has_value()) {
    to->set_complement_margin(*from.margin_complement);
  }
  if (from.robustness.has_value()) {
    SetRobustness(*from.robustness, to->mutable_robustness());
  }
  SetEffort(from.effort, to->mutable_effort());
}

void ToProto(const search::Verification& from, v1::VerifyResponse* to) {
  to->set_verdict(VerdictToProto(from.verdict));
  for (const std::string& finding : from.findings) {
    to->add_findings(CleanText(finding, kMaxSentenceBytes));
  }
  to->set_margin(from.margin);
  to->set_row_count(from.rows);
  to->set_largest_difference(from.largest_difference);
}

}  // namespace spar::service
