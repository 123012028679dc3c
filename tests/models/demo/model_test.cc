// The shipped demo model, through the snapshot, tokenizer and backend that
// every model goes through: what it answers, and that its files are the
// program's.
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/status.h"
#include "models/demo/corpus.h"
#include "models/demo/query_files.h"
#include "models/demo/vocabulary.h"
#include "models/snapshot/reference_prompts.h"
#include "models/snapshot/snapshot.h"
#include "models/text/tokenizer.h"
#include "models/torch/torch_backend.h"

namespace spar::demo {
namespace {

constexpr char kFolder[] = "models/demo/model";

std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class DemoModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto snapshot = models::Snapshot::Open(kFolder, {});
    ASSERT_TRUE(snapshot.ok()) << base::MessageOf(snapshot.status());
    auto tokenizer = models::Tokenizer::Open(kFolder);
    ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
    auto backend =
        models::MakeTorchBackend(*std::move(snapshot), {.num_threads = 1});
    ASSERT_TRUE(backend.ok()) << base::MessageOf(backend.status());
    tokenizer_ = tokenizer->release();
    backend_ = backend->release();
  }
  static void TearDownTestSuite() {
    delete backend_;
    delete tokenizer_;
  }

  static std::vector<models::TokenId> Encode(const std::string& text) {
    auto ids = tokenizer_->Encode(text, {});
    EXPECT_TRUE(ids.ok()) << base::MessageOf(ids.status());
    return *std::move(ids);
  }
  static std::string NextWord(const std::string& prompt) {
    auto predictions = backend_->Predict(Encode(prompt), 1);
    EXPECT_TRUE(predictions.ok()) << base::MessageOf(predictions.status());
    return tokenizer_->TokenText(predictions->back().top[0].token);
  }

  static models::Tokenizer* tokenizer_;
  static models::Backend* backend_;
};

models::Tokenizer* DemoModel::tokenizer_ = nullptr;
models::Backend* DemoModel::backend_ = nullptr;

TEST_F(DemoModel, AnswersHeldOutQueriesOfEveryType) {
  std::istringstream lines(FileText("models/demo/queries.txt"));
  std::map<std::string, int> asked, right;
  std::string type, prompt, answer;
  while (std::getline(lines, type, '\t') && std::getline(lines, prompt, '\t') &&
         std::getline(lines, answer)) {
    ++asked[type];
    right[type] += NextWord(prompt) == answer ? 1 : 0;
  }
  EXPECT_EQ(asked.size(), 6u);
  for (const auto& [name, count] : asked) {
    EXPECT_GE(count, 50) << name;
    EXPECT_GE(right[name], 0.95 * count) << name << " of " << count;
  }
}

TEST_F(DemoModel, AnswersThePromptsOfTheDemo) {
  std::istringstream lines(FileText("models/demo/prompts.txt"));
  int asked = 0;
  std::string type, prompt, answer;
  while (std::getline(lines, type, '\t') && std::getline(lines, prompt, '\t') &&
         std::getline(lines, answer)) {
    EXPECT_EQ(NextWord(prompt), answer) << prompt;
    ++asked;
  }
  EXPECT_EQ(asked, 6);
}

TEST_F(DemoModel, IsOfTheKindAndSizeThatTheCardSays) {
  const models::ModelInfo& info = backend_->info();
  EXPECT_EQ(info.family, "llama_simple_mlp");
  EXPECT_EQ(info.num_layers, 4);
  EXPECT_EQ(info.width, 128);
  EXPECT_EQ(info.num_heads, 4);
  EXPECT_EQ(info.num_neurons, 512);
  EXPECT_EQ(info.vocab_size, tokenizer_->vocab_size());
  EXPECT_NE(FileText("models/demo/MODEL_CARD.md").find(info.digest),
            std::string::npos)
      << "the card does not name digest " << info.digest;
}

TEST_F(DemoModel, HasTheTokenizerThatTheTrainerWrites) {
  const Vocabulary vocabulary(CorpusWords());
  ASSERT_EQ(tokenizer_->vocab_size(), vocabulary.size());
  for (int id = 0; id < vocabulary.size(); ++id) {
    EXPECT_EQ(tokenizer_->TokenText(id), vocabulary.Word(id));
    EXPECT_EQ(Encode(vocabulary.Word(id)), std::vector<models::TokenId>{id});
  }
}

TEST_F(DemoModel, HasReferencePromptsOfItsOwnWords) {
  EXPECT_TRUE(FileText(std::string(kFolder) + "/reference_prompts.txt") ==
              ReferencePromptsText());
  EXPECT_TRUE(FileText("models/demo/queries.txt") == QueriesText());
  const auto prompts = models::ReadReferencePrompts(std::string(kFolder) +
                                                    "/reference_prompts.txt");
  ASSERT_TRUE(prompts.ok()) << base::MessageOf(prompts.status());
  EXPECT_EQ(prompts->size(), 512u);
  for (const std::string& prompt : *prompts) {
    for (const models::TokenId id : Encode(prompt)) EXPECT_NE(id, 0) << prompt;
  }
}

}  // namespace
}  // namespace spar::demo
