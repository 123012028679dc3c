#include <cmath>

#include <gtest/gtest.h>

#include "models/studies/importance_picture.h"
#include "models/studies/induction_study.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {
namespace {

constexpr int kLetters = 6;
constexpr int kLength = 8;
constexpr int kWidth = 4;

RepeatedMarkerOptions SmallData(int batch_size) {
  return {.letters = kLetters,
          .length = kLength,
          .batch_size = batch_size,
          .seed = 5};
}

at::Tensor Drawn(uint64_t use, const std::vector<int64_t>& sizes) {
  return models::DrawKey(17).Of(use).Normal(sizes, at::kCPU);
}

InductionHead::Weights RandomWeights() {
  InductionHead::Weights weights;
  weights.embedding = Drawn(0, {kLetters + 2, kWidth});
  weights.unembedding = Drawn(1, {kLetters + 2, kWidth});
  for (int i = 0; i < 6; ++i) {
    weights.readers.push_back(Drawn(2 + i, {kWidth, kWidth}));
  }
  for (int i = 0; i < 2; ++i) {
    weights.outputs.push_back(Drawn(8 + i, {kWidth, kWidth}));
  }
  return weights;
}

TEST(RepeatedMarkerTest, TheMarkerComesTwiceAndTheAnswerFollowsTheFirst) {
  const RepeatedMarker data(SmallData(400));
  const at::Tensor ids = data.Batch(3);
  EXPECT_TRUE(ids.equal(data.Batch(3)));
  EXPECT_FALSE(ids.equal(data.Batch(4)));
  const at::Tensor first = data.FirstMarkers(ids);
  const at::Tensor answers = data.Answers(ids);
  std::vector<int> seen(kLength, 0);
  for (int64_t i = 0; i < ids.size(0); ++i) {
    std::vector<int64_t> markers;
    for (int64_t t = 0; t < kLength; ++t) {
      const int64_t id = ids[i][t].item<int64_t>();
      if (id == kLetters + 1) markers.push_back(t);
      EXPECT_EQ(id == 0, t == 0);
      EXPECT_LE(id, kLetters + 1);
    }
    ASSERT_EQ(markers.size(), 2u);
    EXPECT_EQ(markers[0], first[i].item<int64_t>());
    EXPECT_EQ(markers[1], kLength - 1);
    EXPECT_EQ(ids[i][markers[0] + 1].item<int64_t>(),
              answers[i].item<int64_t>());
    ++seen[markers[0]];
  }
  // Uniform over four places: each within five standard deviations of 100.
  for (int t = 1; t <= kLength - 4; ++t) EXPECT_NEAR(seen[t], 100, 44);
}

// The formula of induction_head.h written out, number by number.
TEST(InductionHeadTest, ComputesItsFormula) {
  const InductionHead::Weights weights = RandomWeights();
  const InductionHead head(weights);
  const at::Tensor ids = RepeatedMarker(SmallData(3)).Batch(0);
  const at::Tensor logits = head.Output(ids);
  ASSERT_EQ(logits.sizes(), (std::vector<int64_t>{3, kLetters + 2}));
  const auto at_place = [](const at::Tensor& matrix, int row, int column) {
    return matrix[row][column].item<double>();
  };
  using Table = std::vector<std::vector<double>>;
  const auto mapped = [&](const at::Tensor& w, const Table& x) {
    Table y(x.size(), std::vector<double>(kWidth, 0));
    for (size_t t = 0; t < x.size(); ++t) {
      for (int i = 0; i < kWidth; ++i) {
        for (int j = 0; j < kWidth; ++j) y[t][i] += at_place(w, i, j) * x[t][j];
      }
    }
    return y;
  };
  for (int s = 0; s < 3; ++s) {
    Table h(kLength, std::vector<double>(kWidth));
    for (int t = 0; t < kLength; ++t) {
      for (int i = 0; i < kWidth; ++i) {
        h[t][i] = at_place(weights.embedding,
                           static_cast<int>(ids[s][t].item<int64_t>()), i);
      }
    }
    for (int layer = 0; layer < 2; ++layer) {
      Table q = mapped(weights.readers[3 * layer], h);
      Table k = mapped(weights.readers[3 * layer + 1], h);
      const Table v = mapped(weights.readers[3 * layer + 2], h);
      for (int t = 0; t < kLength; ++t) {
        for (int i = 0; i < kWidth; ++i) {
          const double angle = t / std::pow(10'000.0, (i - i % 2) / 4.0);
          const double p = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
          q[t][i] += p;
          k[t][i] += p;
        }
      }
      Table mixed(kLength, std::vector<double>(kWidth, 0));
      for (int t = 0; t < kLength; ++t) {
        std::vector<double> share(t + 1, 0);
        double sum = 0;
        for (int from = 0; from <= t; ++from) {
          for (int i = 0; i < kWidth; ++i) share[from] += q[t][i] * k[from][i];
          share[from] = std::exp(share[from] / std::sqrt(double{kWidth}));
          sum += share[from];
        }
        for (int from = 0; from <= t; ++from) {
          for (int i = 0; i < kWidth; ++i) {
            mixed[t][i] += share[from] / sum * v[from][i];
          }
        }
      }
      const Table out = mapped(weights.outputs[layer], mixed);
      for (int t = 0; t < kLength; ++t) {
        for (int i = 0; i < kWidth; ++i) h[t][i] += out[t][i];
      }
    }
    for (int token = 0; token < kLetters + 2; ++token) {
      double want = 0;
      for (int i = 0; i < kWidth; ++i) {
        want += at_place(weights.unembedding, token, i) * h[kLength - 1][i];
      }
      EXPECT_NEAR(at_place(logits, s, token), want, 2e-4);
    }
  }
}

TEST(InductionHeadTest, LearnsToLookBack) {
  InductionHeadOptions options;
  options.data = SmallData(64);
  options.width = 16;
  options.training.steps = 700;
  const std::unique_ptr<InductionHead> head = InductionHead::Train(options);
  RepeatedMarkerOptions unseen = SmallData(300);
  unseen.seed = 99;
  const RepeatedMarker data(unseen);
  const at::Tensor ids = data.Batch(0);
  // A guess is right for one of six.
  EXPECT_GT(head->Accuracy(ids, data.Answers(ids)), 0.9);
}

TEST(InductionStudyTest, SumsImportancesByRole) {
  // Two sequences of six positions, s1 at 1 and at 2; three subcomponents.
  at::Tensor g = at::zeros({2, 6, 3}, at::kFloat);
  g[0][1][0] = 1;     // s1
  g[1][2][0] = 0.5;   // s1
  g[0][2][1] = 0.25;  // m
  g[1][3][1] = 0.75;  // m
  g[0][5][1] = 0.5;   // s2
  g[1][4][2] = 0.06;  // elsewhere: 0.01 in the mean
  const InductionModule module = FindRoles(
      "k", g.flatten(0, 1), at::tensor(std::vector<int64_t>{1, 2}), 6);
  EXPECT_EQ(module.name, "k");
  EXPECT_NEAR(module.at_role[0], 0.75, 1e-6);
  EXPECT_NEAR(module.at_role[1], 0.5, 1e-6);
  EXPECT_NEAR(module.at_role[2], 0.25, 1e-6);
  EXPECT_NEAR(module.at_role[3], 0.01, 1e-6);
  EXPECT_EQ(module.used, (std::vector<int>{0, 1}));
}

// The CI function sees sequences, the loss the last position alone: a short
// training gives the weights back and reconstructs better than at its start.
TEST(InductionStudyTest, DecomposesAtOnePositionPerSequence) {
  InductionStudy study;
  study.target.data = SmallData(64);
  study.target.training.steps = 300;
  study.num_components = 16;
  study.ci_hidden = 4;
  study.batch_size = 16;
  study.warmup_steps = 300;
  study.steps = 150;
  std::vector<models::TrainProgress> seen;
  const auto finding = DecomposeInductionHead(
      study,
      [&](const models::TrainProgress& progress) { seen.push_back(progress); });
  ASSERT_TRUE(finding.ok()) << finding.status();
  ASSERT_EQ(seen.size(), 450u);
  EXPECT_LT(finding->faithfulness, 1e-3 * finding->weight_square);
  ASSERT_EQ(finding->modules.size(), 6u);
  EXPECT_EQ(finding->modules[5].name, "blocks.1.attn.v_proj");
  ASSERT_EQ(finding->modules[5].example.size(), size_t{kLength});
  EXPECT_EQ(finding->modules[5].example[0].size(), 16u);
  ASSERT_EQ(finding->example.size(), size_t{kLength});
  EXPECT_EQ(finding->example.front(), 0);
  EXPECT_TRUE(std::isfinite(finding->ci_masked));
  EXPECT_GE(finding->ci_masked, 0);
  const auto mean_recon = [&](size_t begin) {
    double sum = 0;
    for (size_t i = begin; i < begin + 20; ++i) sum += seen[i].terms[2].value;
    return sum / 20;
  };
  EXPECT_LT(mean_recon(430), mean_recon(300));
}

TEST(ImportancePictureTest, ShowsEveryImportanceAndEscapesNames) {
  const ImportancePicture picture = {
      .positions = {"0", "<S>"},
      .rows = {{.module = "q", .label = "3", .importances = {0.25F, 2.0F}},
               {.module = "v", .label = "4", .importances = {0, 1}}}};
  const std::string svg = ToSvg(picture);
  EXPECT_NE(svg.find("&lt;S&gt;"), std::string::npos);
  EXPECT_EQ(svg.find("<S>"), std::string::npos);
  EXPECT_NE(svg.find("fill-opacity=\"0.250\""), std::string::npos);
  EXPECT_EQ(svg.find("fill-opacity=\"2"), std::string::npos);
  size_t cells = 0;
  for (size_t at = svg.find("fill-opacity"); at != std::string::npos;
       at = svg.find("fill-opacity", at + 1)) {
    ++cells;
  }
  EXPECT_EQ(cells, 4u);
}

}  // namespace
}  // namespace spar::studies
