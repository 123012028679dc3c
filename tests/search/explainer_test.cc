#include "server/search/explainer.h"

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/search/certificate.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

Question AQuestion(uint64_t seed, Mode mode) {
  Question question;
  question.tokens = RandomTokens(seed, 8, 24);
  question.options.mode = mode;
  question.options.sparse_fraction = 1;
  return question;
}

TEST(Explainer, AnswersWithACertificateThatHolds) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const Mode mode = seed % 2 == 0 ? Mode::kSufficient : Mode::kGrounded;
    auto explainer = Explainer::Make(
        std::make_unique<models::FakeBackend>(ToyOptions(seed)), {});
    const absl::StatusOr<Explanation> answer =
        AskAndWait(*explainer, AQuestion(seed, mode));
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (answer->verdict == Verdict::kUnstable) continue;
    ASSERT_TRUE(answer->certificate.has_value());
    models::FakeBackend checker(ToyOptions(seed));
    const absl::StatusOr<Verification> verification =
        CheckCertificate(CertificateToJson(*answer->certificate), checker);
    ASSERT_TRUE(verification.ok()) << verification.status();
    EXPECT_EQ(verification->verdict, CertificateVerdict::kValid);
    for (const std::string& finding : verification->findings) {
      ADD_FAILURE() << finding;
    }
  }
}

}  // namespace
}  // namespace spar::search
