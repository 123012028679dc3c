#include "client/evaluation_answer.h"

#include <string_view>
#include <utility>

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kReadings = 7;  // of a table

absl::Status BrokenEvaluation(std::string_view what) {
  return absl::DataLossError(
      base::AbslView(base::Cat("the stream of an evaluation ", what)));
}

}  // namespace

absl::Status EvaluationReader::CheckCount(int count) const {
  if (count == answer_.header.modules_size()) return absl::OkStatus();
  return BrokenEvaluation("has lists that do not fit its modules");
}

absl::Status EvaluationReader::AddModule(
    const v1::EvaluatedModuleSparsity& module) {
  const size_t next = answer_.modules.size();
  if (!has_sparsity_ ||
      next >= static_cast<size_t>(answer_.header.modules_size()) ||
      module.module() != static_cast<int>(next) ||
      module.densities_size() != module.mean_importances_size() ||
      (module.densities_size() > 0 &&
       module.densities_size() !=
           answer_.header.modules(module.module()).subcomponent_count())) {
    return BrokenEvaluation("has modules that its header lacks");
  }
  answer_.modules.push_back(module);
  return absl::OkStatus();
}

absl::Status EvaluationReader::Add(const v1::EvaluateResponse& message) {
  if (message.has_header() == started_) {
    return BrokenEvaluation(started_ ? "has two headers"
                                     : "does not begin with a header");
  }
  if (ended_) return BrokenEvaluation("goes on after its summary");
  switch (message.content_case()) {
    case v1::EvaluateResponse::kHeader:
      if (message.header().modules().empty()) {
        return BrokenEvaluation("has no modules");
      }
      started_ = true;
      answer_.header = message.header();
      return absl::OkStatus();
    case v1::EvaluateResponse::kFaithfulness:
      RETURN_IF_ERROR(CheckCount(message.faithfulness().modules_size()));
      has_faithfulness_ = true;
      answer_.faithfulness = message.faithfulness();
      return absl::OkStatus();
    case v1::EvaluateResponse::kSparsity:
      has_sparsity_ = true;
      answer_.sparsity = message.sparsity();
      return absl::OkStatus();
    case v1::EvaluateResponse::kModuleSparsity:
      return AddModule(message.module_sparsity());
    case v1::EvaluateResponse::kReconstruction:
      if (message.reconstruction().readings_size() != kReadings) {
        return BrokenEvaluation("has a table of other masks");
      }
      answer_.reconstructions.push_back(message.reconstruction());
      return absl::OkStatus();
    case v1::EvaluateResponse::kOutputErrors:
      RETURN_IF_ERROR(CheckCount(message.output_errors().modules_size()));
      answer_.output_errors.push_back(message.output_errors());
      return absl::OkStatus();
    case v1::EvaluateResponse::kPatternErrors:
      answer_.pattern_errors.push_back(message.pattern_errors());
      return absl::OkStatus();
    case v1::EvaluateResponse::kSparsityCurve:
      for (const v1::SparsityPoint& point : message.sparsity_curve().points()) {
        RETURN_IF_ERROR(CheckCount(point.module_l0_size()));
      }
      answer_.curves.push_back(message.sparsity_curve());
      return absl::OkStatus();
    case v1::EvaluateResponse::kAttackCurve:
      answer_.attacks.push_back(message.attack_curve());
      return absl::OkStatus();
    case v1::EvaluateResponse::kSummary:
      ended_ = true;
      answer_.summary = message.summary();
      return absl::OkStatus();
    case v1::EvaluateResponse::kProgress:
    case v1::EvaluateResponse::CONTENT_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<EvaluationAnswer> EvaluationReader::Finish() && {
  if (!ended_) return BrokenEvaluation("ended without its summary");
  const v1::EvaluationOptions& options = answer_.header.options();
  const size_t tables = 1 + static_cast<size_t>(options.subsets_size());
  const bool whole = has_faithfulness_ && has_sparsity_ &&
                     answer_.modules.size() ==
                         static_cast<size_t>(answer_.header.modules_size()) &&
                     answer_.reconstructions.size() == tables &&
                     answer_.curves.size() == tables &&
                     answer_.output_errors.size() == 2 &&
                     answer_.pattern_errors.size() == 2 &&
                     answer_.attacks.size() ==
                         static_cast<size_t>(options.attack().scopes_size());
  if (!whole) return BrokenEvaluation("lacks parts");
  return std::move(answer_);
}

}  // namespace spar::client
