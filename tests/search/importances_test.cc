// Importances through an explainer: what is told of them, and what ends them.
#include "server/search/importances.h"

#include <future>
#include <memory>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"
#include "server/search/explainer.h"

namespace spar::search {
namespace {

models::FakeBackendOptions Options() {
  models::FakeBackendOptions options;
  options.decompositions = {"main"};
  return options;
}

ImportanceQuestion AQuestion() {
  ImportanceQuestion question;
  question.decomposition = "main";
  question.prompts = {{1, 2, 3}, {4}};
  question.modules = {1, 0};
  question.max_entries = 1'000;
  return question;
}

absl::StatusOr<std::vector<ImportanceAnswer>> Ask(Explainer& explainer,
                                                  ImportanceQuestion question,
                                                  std::stop_token stop = {}) {
  std::promise<absl::StatusOr<std::vector<ImportanceAnswer>>> done;
  explainer.Importances(
      std::move(question), stop,
      [&done](absl::StatusOr<std::vector<ImportanceAnswer>> answers) {
        done.set_value(std::move(answers));
      });
  return done.get_future().get();
}

TEST(Importances, AreTheBackendsInTheOrderAskedFor) {
  const auto explainer =
      Explainer::Make(std::make_unique<models::FakeBackend>(Options()), {});
  ASSERT_EQ(explainer->decompositions().size(), 1u);
  EXPECT_EQ(explainer->decompositions()[0].name, "main");
  const auto answers = Ask(*explainer, AQuestion());
  ASSERT_TRUE(answers.ok()) << answers.status();
  models::FakeBackend backend(Options());
  const auto truth = backend.Importances("main", AQuestion().prompts, {});
  ASSERT_EQ(answers->size(), 2u);
  for (size_t p = 0; p < 2; ++p) {
    const ImportanceAnswer& answer = (*answers)[p];
    ASSERT_EQ(answer.modules.size(), 2u);
    EXPECT_EQ(answer.modules[0], (*truth)[p].modules[1]);
    EXPECT_EQ(answer.modules[1], (*truth)[p].modules[0]);
    EXPECT_EQ(answer.num_entries, std::ssize(answer.modules[0].component) +
                                      std::ssize(answer.modules[1].component));
    EXPECT_EQ(answer.num_cut, 0);
  }
}

TEST(Importances, KeepTheStrongestAndOfEqualOnesTheLowerNumbers) {
  models::ModuleImportances from;
  from.begin = {0, 5, 5, 7};
  from.component = {1, 4, 5, 8, 9, 2, 3};
  from.importance = {0.5f, 1, 1, 0.7f, 1, 0.1f, 0.2f};
  from.activation = {1, 2, 3, 4, 5, 6, 7};
  const models::ModuleImportances two = Strongest(from, 2);
  EXPECT_EQ(two.begin, (std::vector<int64_t>{0, 2, 2, 4}));
  EXPECT_EQ(two.component, (std::vector<int32_t>{4, 5, 2, 3}));
  EXPECT_EQ(two.importance, (std::vector<float>{1, 1, 0.1f, 0.2f}));
  EXPECT_EQ(two.activation, (std::vector<float>{2, 3, 6, 7}));
  const models::ModuleImportances four = Strongest(from, 4);
  EXPECT_EQ(four.component, (std::vector<int32_t>{4, 5, 8, 9, 2, 3}));
  EXPECT_EQ(Strongest(from, 5), from);
}

TEST(Importances, CountWhatTheyLeaveOut) {
  models::FakeBackend backend(Options());
  ImportanceQuestion question = AQuestion();
  question.max_per_position = 1;
  const auto answers = Importances(backend, question, {});
  ASSERT_TRUE(answers.ok()) << answers.status();
  const auto truth = backend.Importances("main", question.prompts, {});
  int64_t all = 0;
  for (const models::ModuleImportances& module : (*truth)[0].modules) {
    all += std::ssize(module.component);
  }
  EXPECT_EQ((*answers)[0].num_entries, 6);
  EXPECT_EQ((*answers)[0].num_cut, all - 6);
}

TEST(Importances, BeyondTheirBoundAreRefused) {
  models::FakeBackend backend(Options());
  ImportanceQuestion question = AQuestion();
  question.max_entries = 3;
  const absl::Status refused = Importances(backend, question, {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(base::DetailOf(refused)->reason, "IMPORTANCES_TOO_LARGE");
  EXPECT_EQ(base::DetailOf(refused)->metadata.at("limit"), "3");
  question.max_per_position = 1;
  question.modules = {0};
  EXPECT_TRUE(Importances(backend, question, {}).ok());
}

TEST(Importances, ThatWereStoppedAreNotComputed) {
  const auto explainer =
      Explainer::Make(std::make_unique<models::FakeBackend>(Options()), {});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(
      Ask(*explainer, AQuestion(), stop.get_token()).status()));
  ImportanceQuestion unknown = AQuestion();
  unknown.decomposition = "other";
  EXPECT_TRUE(absl::IsNotFound(Ask(*explainer, unknown).status()));
}

}  // namespace
}  // namespace spar::search
