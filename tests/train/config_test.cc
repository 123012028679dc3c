// The configuration file, the modules it picks, and the rows it names.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/schedule.h"
#include "models/train/checkpoint.h"
#include "models/train/metrics_log.h"
#include "models/train/output_lock.h"
#include "models/train/run_training.h"
#include "models/train/token_rows.h"
#include "models/train/train_config_json.h"
#include "models/train/train_modules.h"

namespace spar::models {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

// Everything that has to be there, and no more.
Json Smallest() {
  return Json::parse(R"({
    "pretrained_model_path": "model", "out_dir": "out",
    "task_config": {"task_name": "lm", "max_seq_len": 8, "data": "demo"},
    "module_info": [{"module_pattern": "h.*.attn.?_proj", "C": 4}],
    "ci_config": {"mode": "layerwise", "fn_type": "shared_mlp",
                  "hidden_dims": [8]},
    "loss_metric_configs": [
      {"classname": "ImportanceMinimalityLoss", "coeff": 1e-3, "pnorm": 2,
       "beta": 0.5}],
    "steps": 10, "batch_size": 4, "lr_schedule": {"start_val": 1e-3}})");
}

// What is said against it; "read" when nothing.
std::string Refusal(const Json& json) {
  const absl::StatusOr<TrainConfig> config =
      ParseTrainConfig("/c/train.json", json.dump());
  if (config.ok()) return "read";
  EXPECT_EQ(base::DetailOf(config.status())->reason, "BAD_TRAIN_CONFIG");
  return std::string(base::MessageOf(config.status()));
}

std::string RefusalOfLoss(const std::string& loss) {
  Json json = Smallest();
  json["loss_metric_configs"].push_back(Json::parse(loss));
  return Refusal(json);
}

TEST(TrainConfig, ReadsTheSmallest) {
  const absl::StatusOr<TrainConfig> config =
      ParseTrainConfig("/c/train.json", Smallest().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model, "/c/model");
  EXPECT_EQ(config->output, "/c/out");
  EXPECT_EQ(config->losses.size(), 1);
  EXPECT_FALSE(config->losses[0].power.to.has_value());
  EXPECT_TRUE(config->use_delta);
  EXPECT_EQ(config->rate.rate, 1e-3);
}

TEST(TrainConfig, LeavesTheModelToItsCaller) {
  Json json = Smallest();
  constexpr TrainConfigOptions kNoModel{.names_model = false};
  const auto refused = ParseTrainConfig("config_json", json.dump(), kNoModel);
  ASSERT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(base::DetailOf(refused.status())->metadata["field"],
            "pretrained_model_path");
  const auto whole = ParseTrainConfig("/c/train.json", json.dump());
  json.erase("pretrained_model_path");
  const auto config = ParseTrainConfig("config_json", json.dump(), kNoModel);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model, "");
  EXPECT_EQ(config->output, "out");
  EXPECT_EQ(config->digest, whole->digest);
}

TEST(TrainConfig, ReadsEveryField) {
  Json json = Smallest();
  json.update(Json::parse(R"({
    "ci_config": {"mode": "global", "fn_type": "global_shared_transformer",
      "simple_transformer_ci_cfg": {"d_model": 16, "n_blocks": 2,
        "mlp_hidden_dim": [32], "attn_config": {"n_heads": 4, "max_len": 64,
          "rope_base": 100.0}}},
    "sigmoid_type": "normal", "sampling": "binomial",
    "use_delta_component": false, "output_loss_type": "mse",
    "autocast_bf16": false, "n_mask_samples": 2, "seed": 7,
    "lr_schedule": {"start_val": 5e-5, "fn_type": "cosine",
      "final_val_frac": 0.1, "warmup_pct": 0.025},
    "grad_clip_norm_components": 0.01, "grad_clip_norm_ci_fns": 1.0,
    "faithfulness_warmup_steps": 3, "faithfulness_warmup_lr": 0.01,
    "faithfulness_warmup_weight_decay": 0.1, "ci_alive_threshold": 0.1,
    "train_log_freq": 5, "save_freq": 6,
    "loss_metric_configs": [
      {"classname": "FaithfulnessLoss", "coeff": 1e7},
      {"classname": "ImportanceMinimalityLoss", "coeff": 2e-4, "pnorm": 2,
       "beta": 0.5, "eps": 1e-9, "p_anneal_start_frac": 0,
       "p_anneal_final_p": 0.4, "p_anneal_end_frac": 0.9},
      {"classname": "StochasticReconSubsetLoss", "coeff": 0.5,
       "routing": {"type": "static_probability", "p": 0.25}},
      {"classname": "StochasticReconLayerwiseLoss", "coeff": 0.5,
       "n_mask_samples": 3},
      {"classname": "PGDReconLoss", "coeff": 1, "init": "ones",
       "step_size": 0.1, "n_steps": 2, "mask_scope": "unique_per_datapoint"},
      {"classname": "PersistentPGDReconSubsetLoss", "coeff": 0.5,
       "optimizer": {"type": "adam", "beta1": 0.5, "beta2": 0.99, "eps": 1e-8,
         "lr_schedule": {"start_val": 0.01, "warmup_pct": 0.025}},
       "scope": {"type": "repeat_across_batch", "n_sources": 2},
       "use_sigmoid_parameterization": true, "n_warmup_steps": 2,
       "routing": {"type": "uniform_k_subset"}}]})"));
  const absl::StatusOr<TrainConfig> config =
      ParseTrainConfig("/c/train.json", json.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  const LossConfig& price = config->losses[1];
  EXPECT_EQ(price.power,
            (Anneal{.from = 2, .to = 0.4, .begin = 0, .end = 0.9}));
  EXPECT_EQ(config->losses[2].routing.kind, RoutingKind::kStaticProbability);
  EXPECT_EQ(config->losses[2].samples, 2);
  EXPECT_EQ(config->losses[3].routing.kind, RoutingKind::kLayerwise);
  EXPECT_EQ(config->losses[3].samples, 3);
  EXPECT_EQ(config->losses[4].pgd->init, PgdConfig::Init::kOnes);
  const PersistentPgdConfig& persistent = *config->losses[5].persistent;
  EXPECT_TRUE(persistent.adam && persistent.sigmoid);
  EXPECT_EQ(persistent.num_sources, 2);
  EXPECT_EQ(persistent.rate,
            (Schedule{.rate = 0.01, .final_share = 1, .warmup = 0.025}));
  EXPECT_EQ(config->rate, (Schedule{.rate = 5e-5,
                                    .shape = RateShape::kCosine,
                                    .final_share = 0.1,
                                    .warmup = 0.025}));
}

TEST(TrainConfig, RefusesWhatIsUnknown) {
  Json json = Smallest();
  json["eval_freq"] = 100;
  EXPECT_THAT(Refusal(json), HasSubstr("eval_freq"));
  json = Smallest();
  json["ci_config"]["n_heads"] = 2;
  EXPECT_THAT(Refusal(json), HasSubstr("ci_config.n_heads"));
  EXPECT_THAT(RefusalOfLoss(R"({"classname": "NoLoss", "coeff": 1})"),
              HasSubstr("known are FaithfulnessLoss"));
  EXPECT_THAT(
      RefusalOfLoss(
          R"({"classname": "FaithfulnessLoss", "coeff": 1, "pnorm": 2})"),
      HasSubstr("loss_metric_configs[1].pnorm"));
}

TEST(TrainConfig, RefusesWhatHasNoEffect) {
  Json json = Smallest();
  json["faithfulness_warmup_lr"] = 0.1;
  EXPECT_THAT(Refusal(json), HasSubstr("faithfulness_warmup_lr"));
  json = Smallest();
  json["n_mask_samples"] = 2;
  EXPECT_THAT(Refusal(json), HasSubstr("n_mask_samples"));
  json = Smallest();
  json["lr_schedule"]["final_val_frac"] = 0.1;
  EXPECT_THAT(Refusal(json), HasSubstr("lr_schedule.final_val_frac"));
  EXPECT_THAT(
      RefusalOfLoss(R"({"classname": "UnmaskedReconLoss", "coeff": 0})"),
      HasSubstr("loss_metric_configs[1].coeff"));
  EXPECT_THAT(
      RefusalOfLoss(R"({"classname": "ImportanceMinimalityLoss", "coeff": 1,
                       "pnorm": 2, "beta": 0, "p_anneal_final_p": 1})"),
      HasSubstr("p_anneal_final_p"));
  EXPECT_THAT(RefusalOfLoss(R"({"classname": "StochasticReconLoss", "coeff": 1,
                               "routing": {"type": "uniform_k_subset"}})"),
              HasSubstr("routing"));
  json = Smallest();
  json["loss_metric_configs"] =
      Json::parse(R"([{"classname": "FaithfulnessLoss", "coeff": 1}])");
  EXPECT_THAT(Refusal(json), HasSubstr("loss_metric_configs"));
}

TEST(TrainConfig, RefusesWhatDoesNotFit) {
  Json json = Smallest();
  json["autocast_bf16"] = true;
  EXPECT_THAT(Refusal(json), HasSubstr("autocast_bf16"));
  json = Smallest();
  json["batch_size"] = 5;
  json["loss_metric_configs"].push_back(Json::parse(
      R"({"classname": "PersistentPGDReconLoss", "coeff": 1,
          "optimizer": {"type": "sign", "lr_schedule": {"start_val": 1}},
          "scope": {"type": "repeat_across_batch", "n_sources": 2}})"));
  EXPECT_THAT(Refusal(json), HasSubstr("batch_size"));
  json = Smallest();
  json.erase("steps");
  EXPECT_THAT(Refusal(json), HasSubstr("steps"));
  EXPECT_FALSE(ParseTrainConfig("/c/train.json", "{\"steps\": 1").ok());
}

TEST(TrainConfig, HasADigestOfWhatWeightsDependOn) {
  const auto digest = [](const Json& json) {
    return ParseTrainConfig("/c/train.json", json.dump())->digest;
  };
  Json json = Smallest();
  json["out_dir"] = "elsewhere";
  json["save_freq"] = 3;
  EXPECT_EQ(digest(json), digest(Smallest()));
  json["seed"] = 1;
  EXPECT_NE(digest(json), digest(Smallest()));
}

std::vector<DecomposedModule> FourModules() {
  std::vector<DecomposedModule> modules;
  for (const char* name :
       {"h.0.attn.q_proj", "h.0.mlp.c_fc", "h.1.attn.q_proj", "h.1.mlp.c_fc"}) {
    modules.push_back({.name = name, .d_in = 4, .d_out = 4});
  }
  return modules;
}

TEST(TrainModules, PicksByPatternInTheTargetsOrder) {
  TrainConfig config;
  config.modules = {{"h.1.*", 3}, {"*.0.attn.*", 5}};
  const auto spec = SpecOf(config, FourModules(), "digest");
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->modules.size(), 3);
  EXPECT_EQ(spec->modules[0].name, "h.0.attn.q_proj");
  EXPECT_EQ(spec->modules[0].num_components, 5);
  EXPECT_EQ(spec->modules[2].first_component, 8);
}

TEST(TrainModules, RefusesPatternsThatPickNothingOrTwice) {
  TrainConfig config;
  config.modules = {{"h.2.*", 3}};
  EXPECT_THAT(
      std::string(base::MessageOf(SpecOf(config, FourModules(), "").status())),
      HasSubstr("picks nothing"));
  config.modules = {{"h.*", 3}, {"*.1.mlp.*", 5}};
  EXPECT_THAT(
      std::string(base::MessageOf(SpecOf(config, FourModules(), "").status())),
      HasSubstr("'h.1.mlp.c_fc' is picked twice"));
}

TEST(TrainModules, RefusesGroupsThatAreNoPartition) {
  TrainConfig config;
  config.modules = {{"*", 3}};
  config.ci.kind = CiKind::kGlobalReverseResidual;
  config.groups = {{"last", {"h.1.*"}}};
  EXPECT_THAT(
      std::string(base::MessageOf(SpecOf(config, FourModules(), "").status())),
      HasSubstr("holds 2 of the 4 modules"));
  config.groups = {{"last", {"h.1.*"}}, {"first", {"h.0.*"}}};
  const auto spec = SpecOf(config, FourModules(), "");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->ci.groups[0].modules, (std::vector<int>{2, 3}));
}

TEST(Schedule, HasTheReferenceVectors) {
  const Anneal power{.from = 2, .to = 0.4, .begin = 0, .end = 1};
  EXPECT_NEAR(AnnealedValue(power, 25, 100), 1.6, 1e-12);
  EXPECT_EQ(AnnealedValue({.from = 2, .to = 0.4, .begin = 1}, 99, 100), 2);
}

TEST(TokenRows, GivesEveryRowOnceAPass) {
  for (const int count : {1, 2, 7, 64, 1000}) {
    std::set<int64_t> places;
    for (int64_t i = 0; i < count; ++i) places.insert(Permuted(i, count, 77));
    EXPECT_EQ(places.size(), static_cast<size_t>(count));
    EXPECT_EQ(*places.rbegin(), count - 1);
  }
}

TEST(TokenRows, OrdersRowsBySeedAndPass) {
  std::vector<TokenId> tokens(301);
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto first = ShuffledRows(tokens, 3, 5);
  const auto again = ShuffledRows(tokens, 3, 5);
  const auto other = ShuffledRows(tokens, 3, 6);
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  int same_pass = 0, same_seed = 0;
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ((*first)->Row(i), (*again)->Row(i));
    EXPECT_EQ((*first)->Row(i)[0] + 2, (*first)->Row(i)[2]);
    same_pass += (*first)->Row(i) == (*first)->Row(i + 100);
    same_seed += (*first)->Row(i) == (*other)->Row(i);
  }
  EXPECT_LT(same_pass, 10);
  EXPECT_LT(same_seed, 10);
  EXPECT_FALSE(ShuffledRows({1, 2}, 3, 0).ok());
}

// A folder of the test's own.
fs::path TestFolder(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / ("spar_train_" + name);
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

TEST(TokenRows, ReadsTokenFilesAndNamesBadTokens) {
  const fs::path file = TestFolder("tokens") / "tokens.bin";
  std::ofstream(file, std::ios::binary) << std::string("\x01\x00\x02\x01", 4);
  EXPECT_EQ(*ReadTokenFile(file, 2, 300), (std::vector<TokenId>{1, 258}));
  EXPECT_EQ(*ReadTokenFile(file, 4, 1 << 30),
            (std::vector<TokenId>{(258 << 16) + 1}));
  EXPECT_THAT(
      std::string(base::MessageOf(ReadTokenFile(file, 2, 258).status())),
      HasSubstr("token 1 is 258"));
  std::ofstream(file, std::ios::binary | std::ios::app) << "x";
  EXPECT_THAT(
      std::string(base::MessageOf(ReadTokenFile(file, 2, 300).status())),
      HasSubstr("5 bytes"));
  EXPECT_TRUE(absl::IsNotFound(
      ReadTokenFile(file.parent_path() / "none", 2, 9).status()));
}

// Counts to config.steps; its state is the count.
class Counting final : public Training {
 public:
  explicit Counting(int64_t steps) : steps_(steps) {}
  bool done() const override { return step_ == steps_; }
  int64_t step() const override { return step_; }
  absl::StatusOr<TrainProgress> Next() override {
    ++step_;
    return TrainProgress{.step = step_, .steps = steps_, .total = 1};
  }
  absl::Status Save(const fs::path& folder) const override {
    return WriteCheckpoint(folder, {.counters = {{"step", step_}}}, {});
  }
  absl::Status Restore(const fs::path& folder) override {
    absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(folder);
    RETURN_IF_ERROR(checkpoint.status());
    step_ = checkpoint->head.counters.at("step");
    return absl::OkStatus();
  }
  absl::Status Export(const fs::path& folder) const override {
    fs::create_directories(folder);
    return absl::OkStatus();
  }

 private:
  const int64_t steps_;
  int64_t step_ = 0;
};

std::vector<int64_t> LoggedSteps(const fs::path& output) {
  std::vector<int64_t> steps;
  std::ifstream file(output / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    steps.push_back(Json::parse(line)["step"].get<int64_t>());
  }
  return steps;
}

TEST(RunTraining, SavesLogsStopsAndGoesOn) {
  TrainConfig config;
  config.output = TestFolder("run");
  config.log_every = 5;
  config.save_every = 4;
  RunTrainingOptions options;
  options.on_step = [](const TrainProgress& progress) {
    return progress.step != 11;
  };
  std::vector<std::string> saved;
  options.on_checkpoint = [&](const fs::path& folder) {
    saved.push_back(folder.filename());
  };
  Counting stopped(20);
  EXPECT_EQ(*RunTraining(config, options, stopped), TrainingEnd::kStopped);
  EXPECT_EQ(LatestCheckpoint(config.output).filename(), "11");
  EXPECT_TRUE(fs::exists(CheckpointFolder(config.output, 8)));
  EXPECT_FALSE(fs::exists(CheckpointFolder(config.output, 4)));
  EXPECT_EQ(saved, (std::vector<std::string>{"4", "8", "11"}));
  // What a killed run logged behind its last checkpoint is logged anew.
  std::ofstream(config.output / "metrics.jsonl", std::ios::app)
      << R"({"phase":"training","step":15})"
      << "\n{\"phase\":\"tr";
  Counting again(20);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(RunTraining(config, options, again).status()));
  options.resume = true;
  EXPECT_EQ(*RunTraining(config, options, again), TrainingEnd::kDone);
  EXPECT_EQ(LoggedSteps(config.output),
            (std::vector<int64_t>{1, 5, 10, 15, 20}));
  EXPECT_TRUE(fs::exists(config.output / "decomposition"));
  EXPECT_EQ(LatestCheckpoint(config.output).filename(), "20");
  EXPECT_TRUE(fs::exists(config.output / "plots" / "losses.svg"));
}

TEST(RunTraining, SharesItsFolderWithNoOther) {
  TrainConfig config;
  config.output = TestFolder("shared");
  RunTrainingOptions options;
  absl::Status inner;
  options.on_step = [&](const TrainProgress&) {
    Counting other(1);
    RunTrainingOptions same;
    same.on_step = [](const TrainProgress&) { return true; };
    inner = RunTraining(config, same, other).status();
    return true;
  };
  Counting training(2);
  EXPECT_EQ(*RunTraining(config, options, training), TrainingEnd::kDone);
  ASSERT_TRUE(absl::IsFailedPrecondition(inner)) << inner;
  EXPECT_EQ(base::DetailOf(inner)->reason, "OUT_DIR_IN_USE");
  // Free again at the end.
  EXPECT_TRUE(OutputLock::Take(config.output).ok());
}

// The configuration that comes with the demo model is the one that its
// decomposition was trained by.
TEST(TrainConfigFile, OfTheDemoIsThatOfItsDecomposition) {
  const auto config =
      ReadTrainConfig("models/demo/decomposition_training.json");
  ASSERT_TRUE(config.ok()) << config.status();
  std::ifstream file("models/demo/decomposition/decomposition.json");
  const Json decomposition = Json::parse(file);
  EXPECT_EQ(decomposition.at("training").at("config_digest"), config->digest);
}

}  // namespace
}  // namespace spar::models
