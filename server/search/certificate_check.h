// L3. The check of a certificate, one exact row at a time, so that it can take
// turns with other work on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "server/search/attack_check.h"
#include "server/search/certificate.h"
#include "server/search/question_units.h"

namespace spar::search {

// The digest that the JSON ought to state.
std::string ComputedCertificateDigest(std::string_view json);

// Not thread-safe.
class CertificateCheck {
 public:
  // kInvalidArgument BAD_CERTIFICATE. Does not touch a backend.
  static absl::StatusOr<std::unique_ptr<CertificateCheck>> Make(
      std::string_view json);

  int num_tokens() const {
    return static_cast<int>(certificate_.tokens.size());
  }
  // Evaluates at most one row, or one step of the attack. True: there is more
  // to do.
  absl::StatusOr<bool> Step(models::Backend& backend);
  // What the next step costs, at most, in forward passes of one row.
  int64_t step_cost() const;
  // Once Step said false.
  Verification Result() const { return verification_; }

 private:
  // What a row's margin is compared with.
  enum class Purpose {
    kSet,           // (S, T): passes
    kEmpty,         // only as stated
    kFull,          // passes tau_acc
    kUnit,          // a deletion: fails, or its contrast does
    kPosition,      // a deletion: fails, or its precision does
    kControl,       // the full model does not say the target
    kSetShare,      // part of the contrast of (S, T)
    kUnitShare,     // part of the contrast without a unit
    kSampleShare,   // part of the precision of T
    kPositionShare  // part of the precision without a position
  };
  // Its row is made when it is its turn: there may be many.
  struct Job {
    Purpose purpose = Purpose::kSet;
    int index = 0;   // of the unit or the position
    int sample = 0;  // of the replacement or the control
  };
  // A share under way: how many rows, how many said the target, and how many
  // too near zero to tell.
  struct Share {
    int rows = 0;
    int says = 0;
    int near = 0;
  };

  CertificateCheck(Certificate certificate,
                   std::string stated_digest,
                   std::string computed_digest);

  void Begin(models::Backend& backend);
  bool CheckIdentity(models::Backend& backend);
  bool CheckDecomposition(const models::Backend& backend);
  bool CheckTokens(const models::ModelInfo& info);
  bool CheckShape(const models::ModelInfo& info);
  void CheckUnits(const models::UnitTable& table);
  void PlanMargins();
  void PlanShares();
  models::Row RowOf(const Job& job) const;
  models::Row RestrictedRow(const std::vector<models::TokenId>& tokens,
                            const models::IndexSet& units,
                            const std::vector<int32_t>& positions) const;
  void PlanAttack();
  bool CheckAttackShape();
  models::Row FullRow(const std::vector<models::TokenId>& tokens) const;
  // A job for each replacement, or control.
  void AddShare(Purpose purpose, size_t index);
  void Note(const Job& job, double margin);
  void NoteShare(Share& share, double margin);
  void Compare(std::string_view what, double stated, double margin);
  void RequirePass(std::string_view what, double margin, double bar);
  void RequireShare(std::string_view what,
                    const Share& share,
                    bool of_others,
                    double threshold);
  void RequireRefusedShare(std::string_view what,
                           const Share& share,
                           bool of_others,
                           double threshold,
                           double stated);
  void NoteDeletion(const Job& job, double margin);
  void NoteAttack();
  void Finish();
  void Invalid(std::string finding);
  void Borderline(std::string finding);

  const Certificate certificate_;
  const std::string stated_digest_;
  const std::string computed_digest_;
  double noise_ = 0;
  bool begun_ = false;
  bool shares_planned_ = false;
  bool finished_ = false;
  std::vector<int32_t> free_positions_;  // those with a deletion
  // The decomposition at hand; null where units are heads and neurons.
  const models::DecompositionInfo* decomposition_ = nullptr;
  int num_model_units_ = 0;
  std::optional<QuestionUnits> units_;  // once the tokens are known to fit
  std::vector<Job> jobs_;
  size_t next_ = 0;
  std::vector<bool> unit_passes_;      // the margin; then contrast must refuse
  std::vector<bool> position_passes_;  // then precision must refuse
  std::vector<Share> unit_shares_;
  std::vector<Share> position_shares_;
  std::unique_ptr<AttackCheck> attack_check_;
  Share set_share_;
  Share sample_share_;
  bool borderline_ = false;
  bool invalid_ = false;
  Verification verification_;
};

}  // namespace spar::search
