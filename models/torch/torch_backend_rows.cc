// L1t. Rows of the torch backend: evaluated, differentiated, checked.
#include <algorithm>
#include <utility>

#include "base/status.h"
#include "models/digest.h"
#include "models/row_check.h"
#include "models/torch/aten.h"
#include "models/torch/errors.h"
#include "models/torch/gradients.h"
#include "models/torch/means_file.h"
#include "models/torch/readout.h"
#include "models/torch/reference_means.h"
#include "models/torch/restricted_forward.h"
#include "models/torch/row_groups.h"
#include "models/torch/torch_backend_class.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr int64_t kGradientBytes = int64_t{1} << 30;

}  // namespace

absl::StatusOr<std::string> TorchBackend::ReferenceDigest(ReferenceKind kind) {
  if (kind == ReferenceKind::kMean && options_.reference_prompts.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the model has no reference prompts",
                       {.reason = "NO_REFERENCE_PROMPTS"});
  }
  return ReferenceDigestOf(kind, options_.reference_prompts);
}

const ReferenceFold* TorchBackend::Reference(ReferenceKind kind) {
  if (kind == ReferenceKind::kZero) return nullptr;
  if (means_ != nullptr) return means_.get();
  const c10::AutoGradMode no_gradients(false);  // not inference: kept for both
  ReferenceValues means;
  const MeansFile file(
      options_.cache_dir,
      Sha256Hex(Cat(info_.digest, "\n",
                    ReferenceDigestOf(kind, options_.reference_prompts), "\n",
                    info_.dtype)));
  if (!file.Read(decoder_.spec, means)) {
    means = MeasureMeans(decoder_, options_.reference_prompts);
    file.Write(means);
  }
  means.MoveTo(decoder_.device);
  means_ = std::make_unique<ReferenceFold>(
      FoldReference(decoder_, std::move(means)));
  return means_.get();
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::Evaluate(
    std::span<const Row> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  return ByDecomposition<RowResult>(
      rows, [this](const std::string* name, std::span<const Row> some) {
        return EvaluateAlike(ResidentOf(name), some);
      });
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::EvaluateAlike(
    const ResidentDecomposition* resident, std::span<const Row> rows) {
  const std::vector<PlannedBatch> batches =
      Plan(resident, rows, options_.reuse);
  for (const PlannedBatch& batch : batches) {
    RETURN_IF_ERROR(CheckFits(batch.bytes, batch.rows.size()));
  }
  return Run(resident, rows, batches, options_.reuse);
}

std::vector<PlannedBatch> TorchBackend::Plan(
    const ResidentDecomposition* resident,
    std::span<const Row> rows,
    const ReuseOptions& reuse) const {
  if (resident != nullptr) {
    return resident->rows->Plan(rows, reuse, max_batch_bytes_);
  }
  return PlanBatches(rows, decoder_.spec, units_, reuse,
                     static_cast<int>(c10::elementSize(decoder_.dtype)));
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::Run(
    const ResidentDecomposition* resident,
    std::span<const Row> rows,
    const std::vector<PlannedBatch>& batches,
    const ReuseOptions& reuse) {
  std::vector<RowResult> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("evaluating rows", [&] {
    for (const PlannedBatch& batch : batches) {
      if (resident == nullptr) {
        RunBatch(rows, batch, reuse, results);
      } else {
        resident->rows->Run(rows, batch, reuse, results);
      }
    }
    return absl::OkStatus();
  }));
  return results;
}

void TorchBackend::RunBatch(std::span<const Row> rows,
                            const PlannedBatch& batch,
                            const ReuseOptions& reuse,
                            std::vector<RowResult>& results) {
  const ReferenceFold* const reference = Reference(batch.reference);
  const c10::InferenceMode inference;
  std::vector<const Row*> chosen;
  for (const int row : batch.rows) chosen.push_back(&rows[row]);
  const at::Tensor streams =
      RestrictedStreams(decoder_, *compaction_, chosen, reference, reuse);
  std::vector<TokenId> targets;
  for (const Row* const row : chosen) targets.push_back(row->prompt->target);
  const std::vector<RowResult> some = ReadStreams(decoder_, streams, targets);
  for (size_t i = 0; i < some.size(); ++i) results[batch.rows[i]] = some[i];
}

absl::Status TorchBackend::CheckFits(int64_t bytes, size_t rows) const {
  if (bytes <= max_batch_bytes_) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      Cat("a batch of ", rows, " rows needs ", bytes, " bytes; ",
          max_batch_bytes_, " may be used"),
      {.reason = "BATCH_TOO_LARGE",
       .metadata = {{"rows", Cat(rows)},
                    {"bytes", Cat(bytes)},
                    {"max_batch_bytes", Cat(max_batch_bytes_)}}});
}

absl::StatusOr<std::vector<RowGradient>> TorchBackend::Gradients(
    std::span<const GradientRow> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  return ByDecomposition<RowGradient>(
      rows, [this](const std::string* name, std::span<const GradientRow> some) {
        return DifferentiateAlike(ResidentOf(name), some);
      });
}

absl::StatusOr<std::vector<RowGradient>> TorchBackend::DifferentiateAlike(
    const ResidentDecomposition* resident, std::span<const GradientRow> rows) {
  const int64_t max_bytes = std::min(kGradientBytes, max_batch_bytes_);
  const std::vector<PlannedBatch> batches =
      resident == nullptr ? PlanGradients(decoder_, rows, max_bytes)
                          : resident->rows->PlanGradients(rows, max_bytes);
  for (const PlannedBatch& batch : batches) {
    RETURN_IF_ERROR(CheckFits(batch.bytes, batch.rows.size()));
  }
  std::vector<RowGradient> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("differentiating rows", [&] {
    for (const PlannedBatch& batch : batches) {
      if (resident == nullptr) {
        DifferentiateBatch(rows, batch, results);
      } else {
        resident->rows->RunGradients(rows, batch, results);
      }
    }
    return absl::OkStatus();
  }));
  return results;
}

void TorchBackend::DifferentiateBatch(std::span<const GradientRow> rows,
                                      const PlannedBatch& batch,
                                      std::vector<RowGradient>& results) {
  const ReferenceFold* const fold = Reference(batch.reference);
  std::vector<const GradientRow*> chosen;
  for (const int row : batch.rows) chosen.push_back(&rows[row]);
  std::vector<RowGradient> some = MaskGradients(
      decoder_, chosen, fold != nullptr ? &fold->values : nullptr);
  for (size_t i = 0; i < some.size(); ++i) {
    results[batch.rows[i]] = std::move(some[i]);
  }
}

absl::StatusOr<double> TorchBackend::EvaluateExactly(const Row& row) {
  RETURN_IF_ERROR(CheckRows(*this, std::span(&row, 1)));
  if (checker_ == nullptr) {
    ASSIGN_OR_RETURN(checker_,
                     DenseChecker::Make(snapshot_, options_.reference_prompts,
                                        options_.decompositions));
  }
  return checker_->Margin(row);
}

}  // namespace spar::models
