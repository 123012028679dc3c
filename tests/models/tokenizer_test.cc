// Tokenizers by hand: small cases computed on paper, and folders that are
// broken or hostile. Equality with Hugging Face's library is
// tests/parity/tokenizers.
#include "models/text/tokenizer.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "base/status.h"

namespace spar::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;

class TokenizerTest : public ::testing::Test {
 protected:
  TokenizerTest() {
    const auto* const info =
        ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) /
              base::Cat("spar_tokenizer_", info->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~TokenizerTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  absl::StatusOr<std::unique_ptr<Tokenizer>> Open(const Json& file) const {
    Write("tokenizer.json", file.dump());
    return Tokenizer::Open(folder_);
  }

  // Expects a refusal whose message holds `part`.
  void ExpectRefused(const std::string& file, const std::string& part) const {
    Write("tokenizer.json", file);
    const auto tokenizer = Tokenizer::Open(folder_);
    ASSERT_FALSE(tokenizer.ok()) << file.substr(0, 200);
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::DetailOf(tokenizer.status())->reason, "BAD_TOKENIZER");
    EXPECT_THAT(std::string(base::MessageOf(tokenizer.status())),
                HasSubstr(part));
    EXPECT_THAT(std::string(base::MessageOf(tokenizer.status())),
                HasSubstr("tokenizer.json"));
  }

  std::filesystem::path folder_;
};

Json WithModel(const Json& model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", model}};
}

Json Words() {
  Json file =
      WithModel({{"type", "WordLevel"},
                 {"unk_token", "[UNK]"},
                 {"vocab", {{"[UNK]", 0}, {"the", 1}, {"cat", 2}, {".", 3}}}});
  file["pre_tokenizer"] = {{"type", "Whitespace"}};
  return file;
}

// a, b, c and the merges ab, abc, ca; ab first.
Json Pairs() {
  return WithModel(
      {{"type", "BPE"},
       {"vocab",
        {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"abc", 4}, {"ca", 5}}},
       {"merges", {"a b", "ab c", "c a"}}});
}

Json Added(int id, const std::string& content, bool special) {
  return {{"id", id},           {"content", content}, {"special", special},
          {"lstrip", false},    {"rstrip", false},    {"single_word", false},
          {"normalized", false}};
}

std::vector<TokenId> Ids(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.Encode(text, {});
  EXPECT_TRUE(ids.ok()) << base::MessageOf(ids.status());
  return ids.ok() ? *ids : std::vector<TokenId>();
}

TEST_F(TokenizerTest, ReadsWordsAndUnknownWords) {
  const auto tokenizer = Open(Words());
  ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
  EXPECT_THAT(Ids(**tokenizer, "the dog. the cat."),
              ElementsAre(1, 0, 3, 1, 2, 3));
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{1, 2, 99, -1}, false),
            "the cat");
  EXPECT_EQ((*tokenizer)->vocab_size(), 4);
  EXPECT_EQ((*tokenizer)->TokenText(2), "cat");
  EXPECT_THAT((*tokenizer)->TokenText(77), IsEmpty());
}

TEST_F(TokenizerTest, MergesByRankAndThenFromTheLeft) {
  const auto tokenizer = Open(Pairs());
  ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
  EXPECT_THAT(Ids(**tokenizer, "abc"), ElementsAre(4));
  EXPECT_THAT(Ids(**tokenizer, "cab"), ElementsAre(2, 3));  // not ca, b
  EXPECT_THAT(Ids(**tokenizer, "cca"), ElementsAre(2, 5));
  EXPECT_THAT(Ids(**tokenizer, ""), IsEmpty());
}

TEST_F(TokenizerTest, RefusesTextThatTheVocabularyCannotWrite) {
  const auto tokenizer = Open(Pairs());
  ASSERT_TRUE(tokenizer.ok());
  const auto ids = (*tokenizer)->Encode("abx", {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(base::DetailOf(ids.status())->reason, "UNENCODABLE_TEXT");
  EXPECT_THAT(std::string(base::MessageOf(ids.status())), HasSubstr("\"x\""));
}

TEST_F(TokenizerTest, ReadsSpecialTokensInTheTextUnlessToldOtherwise) {
  Json file = Words();
  file["added_tokens"] = Json::array({Added(4, "<end>", true)});
  file["post_processor"] = {
      {"type", "BertProcessing"}, {"sep", {"<end>", 4}}, {"cls", {"the", 1}}};
  const auto tokenizer = Open(file);
  ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
  EXPECT_THAT(Ids(**tokenizer, "cat<end>"), ElementsAre(1, 2, 4, 4));
  EXPECT_THAT(*(*tokenizer)
                   ->Encode("cat<end>", {.parse_special = false,
                                         .add_special_tokens = false}),
              ElementsAre(2, 0, 0, 0));
  EXPECT_TRUE((*tokenizer)->IsSpecial(4));
  EXPECT_FALSE((*tokenizer)->IsSpecial(2));
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{2, 4}, true), "cat");
  EXPECT_EQ((*tokenizer)->vocab_size(), 5);
}

TEST_F(TokenizerTest, ReadsVocabularyAndMergesFiles) {
  Write("vocab.json",
        R"({"a":0,"b":1,"ab":2,"\u0120":3,"\u00e2":4,"<|endoftext|>":5})");
  Write("merges.txt", "#version: 0.2\na b\n");
  const auto tokenizer = Tokenizer::Open(folder_);
  ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
  EXPECT_THAT(Ids(**tokenizer, "ab ab<|endoftext|>a"),
              ElementsAre(2, 3, 2, 5, 0));
  EXPECT_TRUE((*tokenizer)->IsSpecial(5));
  EXPECT_EQ((*tokenizer)->TokenText(3), " ");
  EXPECT_EQ((*tokenizer)->TokenText(4), "\\xE2");
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{4, 0}, false),
            "\xEF\xBF\xBD"
            "a");
}

TEST_F(TokenizerTest, RefusesPairFilesOfAnUnknownClass) {
  Write("vocab.json", R"({"a":0})");
  Write("merges.txt", "");
  Write("tokenizer_config.json", R"({"tokenizer_class":"CLIPTokenizer"})");
  const auto tokenizer = Tokenizer::Open(folder_);
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_THAT(std::string(base::MessageOf(tokenizer.status())),
              HasSubstr("CLIPTokenizer"));
}

TEST_F(TokenizerTest, SaysWhenAFolderHasNoTokenizer) {
  EXPECT_EQ(Tokenizer::Open(folder_).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(TokenizerTest, RefusesWhatIsNotATokenizerFile) {
  ExpectRefused("", "not valid JSON");
  ExpectRefused("{", "not valid JSON");
  ExpectRefused("\xff\xfe{}", "not valid JSON");
  ExpectRefused("[]", "want an object");
  ExpectRefused("{}", "model: is missing");
  ExpectRefused(R"({"model": 3})", "model: want an object");
  ExpectRefused(std::string(1 << 20, '['), "nested deeper than 64");
  ExpectRefused(R"({"model": {"type": "Unigram"}})", "Unigram");
  ExpectRefused(R"({"model": {"type": "BPE", "type": "BPE"}})", "twice");
}

TEST_F(TokenizerTest, RefusesIdsThatCannotBe) {
  for (const char* id : {"-1", "4194304", "1e300", "99999999999999999999",
                         "1.5", "\"1\"", "null", "[]"}) {
    ExpectRefused(base::Cat(R"({"model": {"type": "WordLevel", "unk_token":)"
                            R"( "a", "vocab": {"a": )",
                            id, "}}}"),
                  "want an integer of [0, 4194304)");
  }
  Json file = Words();
  file["model"]["vocab"]["dog"] = 1;
  ExpectRefused(file.dump(), "id 1 belongs to");
}

TEST_F(TokenizerTest, RefusesAddedTokensThatContradict) {
  const auto refused = [this](const Json& added, const std::string& part) {
    Json file = Words();
    file["added_tokens"] = added;
    ExpectRefused(file.dump(), part);
  };
  refused(Json::array({Added(1, "<end>", true)}), "the id is that of \"the\"");
  refused(Json::array({Added(2, "the", true)}), "the vocabulary gives it id 1");
  refused(Json::array({Added(9, "<end>", true)}),
          "new tokens are numbered from 4");
  refused(Json::array({Added(4, "<end>", true), Added(4, "<pad>", true)}),
          "numbered from 5");
  refused(Json::array({Added(4, "<end>", true), Added(5, "<end>", true)}),
          "twice");
  refused(Json::array({Added(4, std::string(2000, 'x'), true)}),
          "longer than 1024");
  refused(Json::array({Added(-4, "<end>", true)}), "-4: want an integer");
}

TEST_F(TokenizerTest, RefusesBadMerges) {
  const auto refused = [this](const Json& merges, const std::string& part) {
    Json file = Pairs();
    file["model"]["merges"] = merges;
    ExpectRefused(file.dump(), part);
  };
  refused(Json::array({"a z"}), "merges[0]: \"z\" is not in the vocabulary");
  refused(Json::array({"a b", "b c"}),
          "merges[1]: \"bc\" is not in the vocabulary");
  refused(Json::array({"ab"}), "merges[0]: want");
  refused(Json::array({Json::array({"a", "b", "c"})}), "merges[0]: want");
  refused(7, "merges: want an array");
}

TEST_F(TokenizerTest, NamesTheFieldsItDoesNotKnow) {
  Json file = Words();
  file["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
  ExpectRefused(file.dump(), "UnicodeScripts");
  file = Words();
  file["normalizer"] = {{"type", "BertNormalizer"}};
  ExpectRefused(file.dump(), "BertNormalizer");
  file = Words();
  file["decoder"] = {{"type", "CTC"}};
  ExpectRefused(file.dump(), "decoder");
  file = Pairs();
  file["model"]["surprise"] = true;
  ExpectRefused(file.dump(), "model.surprise");
  file = Pairs();
  file["model"]["dropout"] = 0.1;
  ExpectRefused(file.dump(), "model.dropout: 0.1");
  file = Words();
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", Json::array()},
                            {"pair", Json::array()},
                            {"special_tokens", Json::object()}};
  ExpectRefused(file.dump(), "the text occurs 0 times");
}

Json SplitBy(const std::string& expression) {
  Json file = Words();
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", expression}}},
                           {"behavior", "Isolated"},
                           {"invert", false}};
  return file;
}

TEST_F(TokenizerTest, RefusesExpressionsThatDoNotCompileOrMeanAnotherThing) {
  for (const char* expression : {"(",
                                 "[",
                                 "a{2}?",
                                 "a{1,2}+",
                                 "a{,2}",
                                 "[a[b]]",
                                 "[a&&b]",
                                 "\\h",
                                 "(?m)a",
                                 "x(?i)y",
                                 "(*ACCEPT)",
                                 "(?R)",
                                 "(?{1})",
                                 "\\p{Nonsense}",
                                 "\\p{",
                                 "\\",
                                 "\\x{zz}",
                                 "[\\W]",
                                 "\\C",
                                 "(?<=a+)b",
                                 "((((a{1000}){1000}){1000}){1000})"}) {
    ExpectRefused(SplitBy(expression).dump(), "pattern.Regex");
  }
  ExpectRefused(SplitBy(std::string(70000, 'a')).dump(), "want at most 65536");
}

TEST_F(TokenizerTest, GivesUpOnCatastrophicExpressions) {
  const auto tokenizer = Open(SplitBy("(a|aa)+$"));
  ASSERT_TRUE(tokenizer.ok()) << base::MessageOf(tokenizer.status());
  const auto ids =
      (*tokenizer)->Encode(base::Cat(std::string(200, 'a'), "b"), {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(base::DetailOf(ids.status())->reason, "PATTERN_TOO_SLOW");
}

TEST_F(TokenizerTest, CutsLongTextsWithDeepExpressions) {
  const auto tokenizer = Open(SplitBy("(?:a|b)+"));
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_THAT(Ids(**tokenizer, std::string(1 << 20, 'a')), SizeIs(1));
}

TEST_F(TokenizerTest, TakesNearlyLinearTimeOnOneLongWord) {
  Json file = Pairs();
  Json& vocab = file["model"]["vocab"];
  vocab["aa"] = 6;
  vocab["aaaa"] = 7;
  file["model"]["merges"].push_back("a a");
  file["model"]["merges"].push_back("aa aa");
  const auto tokenizer = Open(file);
  ASSERT_TRUE(tokenizer.ok());
  // A quadratic algorithm would take hours.
  EXPECT_THAT(Ids(**tokenizer, std::string(1 << 20, 'a')), SizeIs(1 << 18));
}

TEST_F(TokenizerTest, NormalizesLongRunsOfMarksInNearlyLinearTime) {
  Json file = Words();
  file["normalizer"] = {{"type", "NFC"}};
  const auto tokenizer = Open(file);
  ASSERT_TRUE(tokenizer.ok());
  std::string marks = "e";
  for (int i = 0; i < 200'000; ++i) marks += "\xCC\x81\xCC\x96";
  EXPECT_THAT(Ids(**tokenizer, marks), ElementsAre(0));
}

TEST_F(TokenizerTest, ReplacesInvalidUtf8) {
  Json file = Words();
  file["model"]["vocab"]["\xEF\xBF\xBD\xEF\xBF\xBD"] = 4;
  file["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  const auto tokenizer = Open(file);
  ASSERT_TRUE(tokenizer.ok());
  // A truncated character is one replacement, a stray byte another.
  EXPECT_THAT(Ids(**tokenizer, "\xE2\x82\xFF cat"), ElementsAre(4, 2));
}

TEST_F(TokenizerTest, ServesManyThreadsAtOnce) {
  const auto tokenizer = Open(SplitBy("\\w+|[^\\w\\s]+|\\s+"));
  ASSERT_TRUE(tokenizer.ok());
  std::vector<std::vector<TokenId>> ids(4);
  {
    std::vector<std::jthread> threads;
    for (auto& one : ids) {
      threads.emplace_back([&one, &tokenizer] {
        for (int i = 0; i < 50; ++i) one = Ids(**tokenizer, "the cat.");
      });
    }
  }
  for (const auto& one : ids) EXPECT_THAT(one, ElementsAre(1, 0, 2, 3));
}

// Cuts and mutations of a good file must never do worse than be refused.
TEST_F(TokenizerTest, SurvivesDamagedFiles) {
  Json file = SplitBy("\\p{L}+| ?[^\\s\\p{L}]+|\\s+(?!\\S)|\\s+");
  file["added_tokens"] = Json::array({Added(4, "<end>", true)});
  file["normalizer"] = {{"type", "NFC"}};
  const std::string good = file.dump();
  uint32_t random = 12345;
  for (size_t i = 0; i < good.size(); i += 3) {
    random = random * 1664525 + 1013904223;
    std::string bad = good;
    bad[i] = static_cast<char>(random >> 24);
    for (const std::string& text : {good.substr(0, i), bad}) {
      Write("tokenizer.json", text);
      const auto tokenizer = Tokenizer::Open(folder_);
      if (tokenizer.ok()) {
        (void)(*tokenizer)->Encode("the cat<end> \xFF", {}).ok();
      } else {
        EXPECT_TRUE(base::DetailOf(tokenizer.status()).has_value());
      }
    }
  }
}

}  // namespace
}  // namespace spar::models
