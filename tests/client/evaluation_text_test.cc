#include "client/evaluation_text.h"

#include <string>
#include <utility>

#include "client/evaluation_report.h"
#include "client/progress_line.h"
#include "client/text_pieces.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/sample_evaluation.h"

namespace spar::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

EvaluationAnswer ReadSample() {
  EvaluationReader reader;
  for (const v1::EvaluateResponse& message : SampleEvaluation()) {
    EXPECT_TRUE(reader.Add(message).ok());
  }
  auto answer = std::move(reader).Finish();
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? *std::move(answer) : EvaluationAnswer();
}

TEST(FormatEvaluation, TellsEveryPartInItsTable) {
  const std::string text = FormatEvaluation(ReadSample(), Style());
  EXPECT_THAT(text, HasSubstr("models/demo/decompositions/main: 1,234 tokens "
                              "in 12 rows and 2 batches, 75 s\n"));
  EXPECT_THAT(text, HasSubstr("Delta is 1.50e-04 of the weights"));
  EXPECT_THAT(text,
              HasSubstr("1.5 active by position, 50 % of 3 alive of 5\n"));
  EXPECT_THAT(text, HasSubstr("masks of all modules"));
  EXPECT_THAT(text, HasSubstr("masks of only|<q>"));
  EXPECT_THAT(text, HasSubstr("  CI                         3.0000    +"
                              "1.0000         33 %     0.5000"));
  EXPECT_THAT(text, HasSubstr("  target                     2.0000\n"));
  EXPECT_THAT(text, HasSubstr("h.0.attn.q_proj       3       2     1.25"));
  EXPECT_THAT(text, HasSubstr("rounded above, all modules"));
  EXPECT_THAT(text, HasSubstr("12,345"));
  EXPECT_THAT(text, HasSubstr("  per datapoint                  20"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(ReportOf, IsAPageWithItsCharts) {
  const auto files = ReportOf(ReadSample());
  ASSERT_EQ(files.size(), 5u);
  const std::string& page = files.at("report.md");
  for (const auto& [name, content] : files) {
    if (name == "report.md") continue;
    EXPECT_THAT(page, HasSubstr("](" + name + ")"));
    EXPECT_THAT(content, HasSubstr("</svg>\n"));
  }
  // Names cannot break out of their cells.
  EXPECT_THAT(page, HasSubstr("masks of only\\|\\<q\\>"));
  EXPECT_THAT(page, HasSubstr("h.0.mlp.\\<c\\_fc\\>"));
  EXPECT_THAT(page, HasSubstr("| CI | 3.0000 | +1.0000 | 33 % | 0.5000 |\n"));
  EXPECT_THAT(page, HasSubstr("| per datapoint | 20 | 3.0000 | +1.0000 | "
                              "10.0000 |\n"));
  EXPECT_THAT(files.at("l0.svg"), HasSubstr("h.0.mlp.&lt;c_fc&gt;"));
  EXPECT_THAT(files.at("sparsity.svg"), HasSubstr("only|&lt;q&gt;"));
}

TEST(ReportOf, LeavesOutAttacksThatWereNotMade) {
  EvaluationAnswer answer = ReadSample();
  answer.attacks.clear();
  const auto files = ReportOf(answer);
  EXPECT_EQ(files.count("attack.svg"), 0u);
  EXPECT_THAT(files.at("report.md"), Not(HasSubstr("attack")));
}

TEST(FormatProgress, SaysWhatAnEvaluationDoes) {
  v1::EvaluationProgress progress;
  progress.set_phase(v1::EVALUATION_PHASE_ATTACK);
  progress.set_step_count(25);
  progress.set_max_step_count(1'000);
  progress.mutable_elapsed()->set_seconds(3);
  EXPECT_EQ(FormatProgress(progress, Style()),
            "attacks  runs 25/1,000  2.5 %  3.00 s");
}

TEST(EvaluationReader, RefusesWhatDoesNotFit) {
  const auto messages = SampleEvaluation();
  const auto broken = [&](auto spoil) {
    auto spoiled = messages;
    spoil(spoiled);
    EvaluationReader reader;
    for (const v1::EvaluateResponse& message : spoiled) {
      if (const absl::Status status = reader.Add(message); !status.ok()) {
        return absl::IsDataLoss(status);
      }
    }
    return absl::IsDataLoss(std::move(reader).Finish().status());
  };
  using Messages = std::vector<v1::EvaluateResponse>;
  EXPECT_FALSE(broken([](Messages&) {}));
  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_EQ(broken([i](Messages& all) {
                all.erase(all.begin() + static_cast<long>(i));
              }),
              !messages[i].has_progress())
        << i;
  }
  EXPECT_TRUE(broken([](Messages& all) { all.push_back(all.back()); }));
  EXPECT_TRUE(broken([](Messages& all) { all.insert(all.begin(), all[0]); }));
  EXPECT_TRUE(broken([](Messages& all) {
    for (auto& one : all) {
      if (!one.has_module_sparsity()) continue;
      one.mutable_module_sparsity()->add_densities(1);
    }
  }));
  EXPECT_TRUE(broken([](Messages& all) {
    for (auto& one : all) {
      if (one.has_output_errors()) one.mutable_output_errors()->add_modules();
    }
  }));
  EXPECT_TRUE(broken([](Messages& all) {
    for (auto& one : all) {
      if (!one.has_sparsity_curve()) continue;
      one.mutable_sparsity_curve()->mutable_points(0)->add_module_l0(1);
    }
  }));
}

TEST(TextPieces, AreCutBehindLinesWordsAndCharacters) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(TextPieces("", 5), Pieces{});
  EXPECT_EQ(TextPieces("abc", 5), Pieces{"abc"});
  EXPECT_EQ(TextPieces("ab\ncd e\nf", 6), (Pieces{"ab\n", "cd e\nf"}));
  EXPECT_EQ(TextPieces("ab cd ef", 6), (Pieces{"ab cd ", "ef"}));
  EXPECT_EQ(TextPieces("\n\n   ab", 3), (Pieces{"ab"}));
  EXPECT_EQ(TextPieces("aéé", 4), (Pieces{"aé", "é"}));
  std::string whole;
  for (const std::string& piece : TextPieces("xxxxxxxxxxx", 4)) whole += piece;
  EXPECT_EQ(whole, "xxxxxxxxxxx");
}

}  // namespace
}  // namespace spar::client
