#include "server/service/ablation_to_proto.h"

#include "models/ablation_parts.h"
#include "server/service/to_proto.h"

namespace spar::service {
namespace {

void SetPosition(const models::AblatedPosition& position,
                 const models::Tokenizer& tokenizer,
                 v1::AblatedPosition* to) {
  to->set_position(position.position);
  for (const models::TokenScore& score : position.top) {
    v1::TokenScore* const top = to->add_top();
    ToProto(score.token, tokenizer, top->mutable_token());
    top->set_logit(score.logit);
    top->set_log_probability(score.log_probability);
  }
  to->set_kl_divergence(position.kl);
  if (position.cross_entropy.has_value()) {
    to->set_cross_entropy(*position.cross_entropy);
  }
  ToProto(position.target, tokenizer, to->mutable_target());
  to->set_target_log_probability(position.target_log_probability);
  to->set_margin(position.margin);
}

}  // namespace

void ToProto(const AblationContext& context,
             std::span<const models::AblatedPosition> baseline,
             int64_t num_rows,
             v1::AblationStart* to) {
  const models::Tokenizer& tokenizer = *context.model->tokenizer;
  for (const models::TokenId token : context.request.tokens) {
    ToProto(token, tokenizer, to->add_prompt());
  }
  to->set_row_count(num_rows);
  for (const models::AblatedPosition& position : baseline) {
    SetPosition(position, tokenizer, to->add_baseline());
  }
}

void ToProto(const AblationContext& context,
             std::span<const models::AblationRow> rows,
             v1::AblationRows* to) {
  const models::Tokenizer& tokenizer = *context.model->tokenizer;
  for (const models::AblationRow& row : rows) {
    v1::AblationRow* const message = to->add_rows();
    if (row.step >= 0) message->set_step(row.step);
    if (row.step >= 0 && !row.generated.has_value()) {
      const models::Intervention& part = context.request.swept[row.step];
      message->set_part(models::PartName(context.model->explainer->units(),
                                         context.decomposition, part));
      if (part.position != models::kEveryPosition) {
        message->set_part_position(part.position);
      }
    }
    message->set_sample(row.sample);
    if (row.generated.has_value()) {
      ToProto(*row.generated, tokenizer, message->mutable_generated());
    }
    for (const models::AblatedPosition& position : row.positions) {
      SetPosition(position, tokenizer, message->add_positions());
    }
  }
}

}  // namespace spar::service
