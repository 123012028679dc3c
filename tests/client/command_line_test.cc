#include "client/command_line.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace spar::client {
namespace {

struct Parsed {
  std::optional<CommandLine> line = std::nullopt;
  int exit_code = -1;
  std::string out = {};
  std::string err = {};
};

Parsed Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "spar");
  Parsed parsed;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  parsed.line = ParseCommandLine(static_cast<int>(arguments.size()),
                                 arguments.data(), parsed.exit_code);
  parsed.out = testing::internal::GetCapturedStdout();
  parsed.err = testing::internal::GetCapturedStderr();
  return parsed;
}

TEST(ParseCommandLine, LeavesWhatIsNotSaidToTheServer) {
  const Parsed parsed = Parse({"crystallize", "a prompt"});
  ASSERT_TRUE(parsed.line.has_value());
  EXPECT_EQ(parsed.line->command, Command::kCrystallize);
  EXPECT_EQ(parsed.line->prompt_text, "a prompt");
  EXPECT_EQ(parsed.line->options.ByteSizeLong(), 0u);
  EXPECT_EQ(parsed.line->server, "127.0.0.1:7430");
  EXPECT_FALSE(parsed.line->timeout_seconds.has_value());
}

TEST(ParseCommandLine, TakesSeveralPromptsForImportances) {
  const Parsed parsed =
      Parse({"importances", "demo/main", "one prompt", "two", "--tokens", "1,2",
             "--tokens=3", "--threshold=0.5", "--top-k", "4", "--module=wte",
             "--ignore-special-tokens"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kImportances);
  EXPECT_EQ(parsed.line->argument, "demo/main");
  EXPECT_EQ(parsed.line->prompt_texts,
            (std::vector<std::string>{"one prompt", "two"}));
  const v1::ImportancesRequest& request = parsed.line->importances;
  ASSERT_EQ(parsed.line->token_prompts.size(), 2u);
  EXPECT_EQ(parsed.line->token_prompts[0].tokens().ids(1), 2);
  EXPECT_EQ(parsed.line->token_prompts[1].tokens().ids(0), 3);
  EXPECT_EQ(request.threshold(), 0.5);
  EXPECT_EQ(request.max_subcomponent_count(), 4);
  EXPECT_EQ(request.modules(0), "wte");
  EXPECT_TRUE(parsed.line->ignore_special_tokens);
  for (const char* const bad : {"1,x", "1.5", "1,,2", "x"}) {
    const Parsed refused = Parse({"importances", "main", "--tokens", bad});
    EXPECT_EQ(refused.exit_code, kExitUsage) << bad;
  }
  EXPECT_EQ(Parse({"importances", "demo/main"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"importances"}).exit_code, kExitUsage);
}

TEST(ParseCommandLine, NamesOneDecompositionOrAll) {
  const Parsed all = Parse({"decompositions"});
  ASSERT_TRUE(all.line.has_value());
  EXPECT_EQ(all.line->argument, "");
  EXPECT_FALSE(all.line->norms);
  const Parsed one = Parse({"decompositions", "demo/main", "--norms"});
  ASSERT_TRUE(one.line.has_value());
  EXPECT_EQ(one.line->argument, "demo/main");
  EXPECT_TRUE(one.line->norms);
}

TEST(ParseCommandLine, SetsEveryOptionOfAGraph) {
  const Parsed parsed = Parse({"attribute",
                               "a prompt",
                               "--decomposition=vpd",
                               "--norm=frozen",
                               "--importance-factor",
                               "--run=listed",
                               "--min-importance=0.5",
                               "--max-subcomponents=3",
                               "--max-neurons=4",
                               "--min-probability=0",
                               "--max-logits=5",
                               "--min-edge=0.25",
                               "--max-edges=6",
                               "--target= her",
                               "--paths=7",
                               "--paths-by=effect",
                               "--export",
                               "pb=a",
                               "--export",
                               "dot=b=c",
                               "--html=d",
                               "--html-nodes=9"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kAttribute);
  const v1::AttributeRequest& request = parsed.line->attribute;
  const v1::AttributeOptions& options = request.options();
  EXPECT_EQ(request.decomposition(), "vpd");
  EXPECT_EQ(options.norm(), v1::NORM_GRADIENT_FROZEN);
  EXPECT_TRUE(options.importance_factor());
  EXPECT_EQ(options.run(), v1::ATTRIBUTED_RUN_LISTED);
  EXPECT_EQ(options.node_rule().min_importance(), 0.5);
  EXPECT_EQ(options.node_rule().max_subcomponent_count(), 3);
  EXPECT_EQ(options.node_rule().max_neuron_count(), 4);
  EXPECT_TRUE(options.logit_rule().has_min_probability());
  EXPECT_EQ(options.logit_rule().max_count(), 5);
  EXPECT_EQ(options.edge_rule().min_magnitude(), 0.25);
  EXPECT_EQ(options.edge_rule().max_per_target(), 6);
  EXPECT_EQ(options.logits(0).token_text(), " her");
  EXPECT_EQ(request.query().logit().token_text(), " her");
  EXPECT_EQ(request.query().path_count(), 7);
  EXPECT_EQ(request.query().path_weighting(), v1::PATH_WEIGHTING_EFFECT);
  const GraphArguments& graph = parsed.line->graph;
  ASSERT_EQ(graph.exports.size(), 2u);
  EXPECT_EQ(graph.exports[0].format, GraphFormat::kProtobuf);
  EXPECT_EQ(graph.exports[0].path, "a");
  EXPECT_EQ(graph.exports[1].format, GraphFormat::kDot);
  EXPECT_EQ(graph.exports[1].path, "b=c");
  EXPECT_EQ(graph.html_path, "d");
  EXPECT_EQ(graph.html_nodes, 9);
}

TEST(ParseCommandLine, ReadsTheCommandsAboutSavedGraphs) {
  const Parsed graph = Parse({"graph", "a.pb", "--target", "x:1@2", "--source",
                              "y@0", "--paths", "3", "--paths-by", "product"});
  ASSERT_TRUE(graph.line.has_value()) << graph.err;
  EXPECT_EQ(graph.line->graph.files, std::vector<std::string>{"a.pb"});
  EXPECT_EQ(graph.line->graph.target, "x:1@2");
  EXPECT_EQ(graph.line->graph.source, "y@0");
  EXPECT_EQ(graph.line->graph.num_paths, 3);
  EXPECT_EQ(graph.line->graph.weighting, v1::PATH_WEIGHTING_PRODUCT);
  const Parsed compare = Parse({"compare", "a", "b", "--lines=4"});
  ASSERT_TRUE(compare.line.has_value()) << compare.err;
  EXPECT_EQ(compare.line->command, Command::kCompare);
  EXPECT_EQ(compare.line->graph.num_lines, 4);
  const Parsed aggregate = Parse({"aggregate", "a", "b", "c"});
  ASSERT_TRUE(aggregate.line.has_value()) << aggregate.err;
  EXPECT_EQ(aggregate.line->graph.files.size(), 3u);
  for (const auto& wrong : std::vector<std::vector<const char*>>{
           {"graph"},
           {"graph", "a", "b"},
           {"compare", "a"},
           {"aggregate"},
           {"graph", "a", "--export", "nix=b"},
           {"graph", "a", "--export", "pb"},
           {"graph", "a", "--export", "pb="},
           {"attribute"},
           {"attribute", "p", "--norm", "half"}}) {
    const Parsed parsed = Parse(wrong);
    EXPECT_FALSE(parsed.line.has_value()) << wrong[0];
    EXPECT_EQ(parsed.exit_code, kExitUsage);
  }
}

TEST(ParseCommandLine, SetsEveryOptionOfAnAblation) {
  const Parsed parsed = Parse({"ablate",
                               "a prompt",
                               "--off",
                               "a#head=1",
                               "--off",
                               "b#delta@3",
                               "--sweep",
                               "c#neuron=0-9:x0.5",
                               "--sweep",
                               "d#subcomponent=*@0:-2",
                               "--cumulative",
                               "--edit",
                               "1:7",
                               "--decomposition=pd",
                               "--masks=adversarial",
                               "--threshold=0.25",
                               "--delta=0.5",
                               "--samples=3",
                               "--adversary-steps=4",
                               "--adversary-step-size=0.2",
                               "--adversary-restarts=5",
                               "--adversary-shared",
                               "--seed=9",
                               "--generate=6",
                               "--temperature=0.7",
                               "--target= x",
                               "--top-k=2",
                               "--every-position"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kAblate);
  EXPECT_EQ(parsed.line->target_text, " x");
  EXPECT_EQ(parsed.line->top_k, 2);
  EXPECT_TRUE(parsed.line->every_position);
  const v1::AblateRequest& ablation = parsed.line->ablation;
  ASSERT_EQ(ablation.interventions_size(), 2);
  EXPECT_EQ(ablation.interventions(0).part(), "a#head=1");
  EXPECT_FALSE(ablation.interventions(0).has_position());
  EXPECT_EQ(ablation.interventions(0).factor(), 0);
  EXPECT_EQ(ablation.interventions(1).part(), "b#delta");
  EXPECT_EQ(ablation.interventions(1).position(), 3);
  ASSERT_EQ(ablation.swept_size(), 2);
  EXPECT_EQ(ablation.swept(0).part(), "c#neuron=0-9");
  EXPECT_EQ(ablation.swept(0).factor(), 0.5);
  EXPECT_EQ(ablation.swept(1).offset(), -2);
  EXPECT_EQ(ablation.swept(1).factor(), 0);
  EXPECT_TRUE(ablation.swept(1).has_position());
  EXPECT_EQ(ablation.sweep(), v1::SWEEP_CUMULATIVE);
  EXPECT_EQ(ablation.edits(0).position(), 1);
  EXPECT_EQ(ablation.edits(0).token_id(), 7);
  EXPECT_EQ(ablation.decomposition(), "pd");
  EXPECT_EQ(ablation.strategy(), v1::MASK_STRATEGY_ADVERSARIAL);
  EXPECT_EQ(ablation.threshold(), 0.25);
  EXPECT_EQ(ablation.delta(), 0.5);
  EXPECT_EQ(ablation.sample_count(), 3);
  EXPECT_EQ(ablation.adversary().step_count(), 4);
  EXPECT_EQ(ablation.adversary().step_size(), 0.2);
  EXPECT_EQ(ablation.adversary().restart_count(), 5);
  EXPECT_TRUE(ablation.adversary().shared_positions());
  EXPECT_EQ(ablation.seed(), 9u);
  EXPECT_EQ(ablation.generation().max_token_count(), 6);
  EXPECT_EQ(ablation.generation().temperature(), 0.7);
}

TEST(ParseCommandLine, RefusesInterventionsThatItCannotRead) {
  for (const char* const bad : {"a#head=1:", "a#head=1:y", "a#head=1:x",
                                "a#head=1@", "a#head=1@0.5", "a#head=1@x"}) {
    const Parsed parsed = Parse({"ablate", "p", "--off", bad});
    EXPECT_FALSE(parsed.line.has_value()) << bad;
    EXPECT_EQ(parsed.exit_code, kExitUsage);
  }
  EXPECT_EQ(Parse({"ablate", "p", "--seed=-1"}).exit_code, kExitUsage);
}

TEST(ParseCommandLine, SetsEveryOptionOfASearch) {
  const Parsed parsed = Parse({"crystallize",
                               "--tokens",
                               "5,6,7",
                               "--mode=sufficient",
                               "--units=head",
                               "--reference=mean",
                               "--position-mode=reindex",
                               "--tau=0.5",
                               "--precision=0.75",
                               "--margin-share=0",
                               "--contrast=0.25",
                               "--sparse-fraction=0.2",
                               "--pin-first",
                               "--max-rows=100",
                               "--max-seconds=1.5",
                               "--target-units=3",
                               "--improvement-rounds=0",
                               "--seed=9",
                               "--target-id=42",
                               "--attack-steps=20",
                               "--attack-step-size=0.25",
                               "--attack-restarts=8"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  const v1::CrystallizeOptions& options = parsed.line->options;
  EXPECT_EQ(parsed.line->prompt_tokens, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(parsed.line->target_id, 42);
  EXPECT_EQ(options.mode(), v1::MODE_SUFFICIENT);
  EXPECT_EQ(options.unit_scheme(), v1::UNIT_SCHEME_HEAD);
  EXPECT_EQ(options.reference(), v1::REFERENCE_MEAN);
  EXPECT_EQ(options.position_mode(), v1::POSITION_MODE_REINDEX);
  EXPECT_EQ(options.tau(), 0.5);
  EXPECT_EQ(options.precision_threshold(), 0.75);
  EXPECT_TRUE(options.has_margin_share());
  EXPECT_EQ(options.margin_share(), 0);
  EXPECT_EQ(options.contrast_threshold(), 0.25);
  EXPECT_EQ(options.sparse_fraction(), 0.2);
  EXPECT_TRUE(options.pin_first());
  EXPECT_EQ(options.max_row_count(), 100);
  EXPECT_EQ(options.max_duration().seconds(), 1);
  EXPECT_EQ(options.max_duration().nanos(), 500'000'000);
  EXPECT_EQ(options.target_unit_count(), 3);
  EXPECT_TRUE(options.has_improvement_round_count());
  EXPECT_EQ(options.seed(), 9);
  EXPECT_EQ(options.attack_step_count(), 20);
  EXPECT_EQ(options.attack_step_size(), 0.25);
  EXPECT_EQ(options.attack_restart_count(), 8);
}

TEST(ParseCommandLine, SetsEveryOptionOfAnEvaluation) {
  const Parsed parsed = Parse({"evaluate",
                               "demo/main",
                               "one prompt",
                               "--tokens",
                               "1,2",
                               "--text=a",
                               "--text",
                               "b",
                               "--row-length=32",
                               "--batch-rows=4",
                               "--alive-threshold=0.1",
                               "--alive-mean=0.2",
                               "--rounding-threshold=0.3",
                               "--samples=5",
                               "--thresholds",
                               "0,0.5",
                               "--subset=mlps=h.0.mlp,h.1.mlp",
                               "--subset",
                               "q=h.0.q",
                               "--seed=18446744073709551615",
                               "--attack-steps=1,7",
                               "--attack-step-size=0.25",
                               "--attack-restarts=2",
                               "--attack-batches=3",
                               "--attack-scope=per-datapoint",
                               "--report=r",
                               "--progress"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kEvaluate);
  EXPECT_EQ(parsed.line->argument, "demo/main");
  EXPECT_EQ(parsed.line->prompt_texts, std::vector<std::string>{"one prompt"});
  EXPECT_EQ(parsed.line->token_prompts.size(), 1u);
  EXPECT_TRUE(parsed.line->always_progress);
  const EvaluateArguments& evaluate = parsed.line->evaluate;
  EXPECT_EQ(evaluate.text_paths, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(evaluate.report_path, "r");
  EXPECT_FALSE(evaluate.no_attack);
  const v1::EvaluationOptions& options = evaluate.request.options();
  EXPECT_EQ(options.row_length(), 32);
  EXPECT_EQ(options.batch_row_count(), 4);
  EXPECT_EQ(options.alive_threshold(), 0.1);
  EXPECT_EQ(options.alive_mean_importance(), 0.2);
  EXPECT_EQ(options.rounding_threshold(), 0.3);
  EXPECT_EQ(options.sample_count(), 5);
  ASSERT_EQ(options.sweep_thresholds_size(), 2);
  EXPECT_EQ(options.sweep_thresholds(1), 0.5);
  ASSERT_EQ(options.subsets_size(), 2);
  EXPECT_EQ(options.subsets(0).name(), "mlps");
  ASSERT_EQ(options.subsets(0).modules_size(), 2);
  EXPECT_EQ(options.subsets(0).modules(1), "h.1.mlp");
  EXPECT_EQ(options.seed(), 18446744073709551615u);
  ASSERT_EQ(evaluate.attack.step_counts_size(), 2);
  EXPECT_EQ(evaluate.attack.step_counts(1), 7);
  EXPECT_EQ(evaluate.attack.step_size(), 0.25);
  EXPECT_EQ(evaluate.attack.restart_count(), 2);
  EXPECT_EQ(evaluate.attack.max_batch_count(), 3);
  ASSERT_EQ(evaluate.attack.scopes_size(), 1);
  EXPECT_EQ(evaluate.attack.scopes(0),
            v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT);
}

TEST(ParseCommandLine, AnEvaluationWantsItsNameAndSomethingToRead) {
  for (const std::vector<const char*>& bad :
       std::vector<std::vector<const char*>>{
           {"evaluate"},
           {"evaluate", "demo/main"},
           {"evaluate", "demo/main", "a", "--subset=q"},
           {"evaluate", "demo/main", "a", "--subset=q="},
           {"evaluate", "demo/main", "a", "--attack-scope=none"}}) {
    EXPECT_FALSE(Parse(bad).line.has_value());
  }
}

TEST(ParseCommandLine, ATrainingWantsItsConfiguration) {
  const Parsed parsed =
      Parse({"--model=demo", "train", "--config=train.json", "--resume"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kTrain);
  EXPECT_EQ(parsed.line->model, "demo");
  EXPECT_EQ(parsed.line->train_config, "train.json");
  EXPECT_TRUE(parsed.line->resume);

  const Parsed anew = Parse({"train", "--config", "-"});
  ASSERT_TRUE(anew.line.has_value()) << anew.err;
  EXPECT_EQ(anew.line->train_config, "-");
  EXPECT_FALSE(anew.line->resume);

  for (const std::vector<const char*>& bad :
       std::vector<std::vector<const char*>>{
           {"train"}, {"train", "train.json"}, {"train", "--config"}}) {
    EXPECT_FALSE(Parse(bad).line.has_value());
  }
}

TEST(ParseCommandLine, SetsEveryOptionOfAPruning) {
  const Parsed parsed = Parse({"prune",
                               "--decomposition=main",
                               "--coefficients",
                               "1e-4,0.5",
                               "one prompt",
                               "two",
                               "--tokens",
                               "1,2",
                               "--target= a",
                               "--target",
                               "b",
                               "--target",
                               "c",
                               "--position=3",
                               "--loss=divergence",
                               "--weight=0.5",
                               "--masks=ci",
                               "--adversary-steps=4",
                               "--adversary-step-size=0.2",
                               "--adversary-restarts=5",
                               "--adversary-weight=0.25",
                               "--power=0.4",
                               "--final-power=0.9",
                               "--anneal-begin=0.1",
                               "--anneal-end=0.8",
                               "--beta=0.7",
                               "--by-sum",
                               "--steps=300",
                               "--learning-rate=0.02",
                               "--rate-shape=cosine",
                               "--final-rate-share=0.15",
                               "--warmup-share=0.05",
                               "--start=ones",
                               "--alive-threshold=0.35",
                               "--rounding-threshold=0.45",
                               "--stop-patience=50",
                               "--stop-change=0.002",
                               "--seed=18446744073709551615",
                               "--progress",
                               "--save=s",
                               "--crystallize",
                               "--certificate=c{row}",
                               "--units=node",
                               "--tau=0.125",
                               "--attack-steps=6",
                               "--search-seed=8"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->command, Command::kPrune);
  EXPECT_EQ(parsed.line->prompt_texts,
            (std::vector<std::string>{"one prompt", "two"}));
  ASSERT_EQ(parsed.line->token_prompts.size(), 1u);
  const PruneArguments& prune = parsed.line->prune;
  EXPECT_EQ(prune.target_texts, (std::vector<std::string>{" a", "b", "c"}));
  EXPECT_EQ(prune.positions, (std::vector<int32_t>{3}));
  EXPECT_EQ(prune.request.decomposition(), "main");
  ASSERT_EQ(prune.request.coefficients_size(), 2);
  EXPECT_EQ(prune.request.coefficients(0), 1e-4);
  const v1::PruneOptions& options = prune.request.options();
  EXPECT_EQ(options.loss(), v1::PRUNE_LOSS_DIVERGENCE);
  EXPECT_EQ(options.weight(), 0.5);
  EXPECT_EQ(options.masks(), v1::PRUNE_MASKS_CAUSAL_IMPORTANCE);
  EXPECT_EQ(options.adversary().step_count(), 4);
  EXPECT_EQ(options.adversary().step_size(), 0.2);
  EXPECT_EQ(options.adversary().restart_count(), 5);
  EXPECT_EQ(options.adversary().weight(), 0.25);
  EXPECT_EQ(options.norm().power(), 0.4);
  EXPECT_EQ(options.norm().final_power(), 0.9);
  EXPECT_EQ(options.norm().anneal_begin(), 0.1);
  EXPECT_EQ(options.norm().anneal_end(), 0.8);
  EXPECT_EQ(options.norm().beta(), 0.7);
  EXPECT_TRUE(options.norm().by_sum());
  EXPECT_EQ(options.step_count(), 300);
  EXPECT_EQ(options.learning_rate(), 0.02);
  EXPECT_EQ(options.rate_shape(), v1::PRUNE_RATE_SHAPE_COSINE);
  EXPECT_EQ(options.final_rate_share(), 0.15);
  EXPECT_EQ(options.warmup_share(), 0.05);
  EXPECT_EQ(options.start(), v1::PRUNE_START_ONES);
  EXPECT_EQ(options.alive_threshold(), 0.35);
  EXPECT_EQ(options.rounding_threshold(), 0.45);
  EXPECT_EQ(options.stop_patience(), 50);
  EXPECT_EQ(options.stop_change(), 0.002);
  EXPECT_EQ(options.seed(), 18446744073709551615u);
  // Every field has an option, so none may be left.
  EXPECT_EQ(v1::PruneOptions::descriptor()->field_count(), 16);
  EXPECT_TRUE(parsed.line->always_progress);
  EXPECT_EQ(prune.save_path, "s");
  EXPECT_TRUE(prune.crystallize);
  EXPECT_EQ(parsed.line->certificate_path, "c{row}");
  EXPECT_EQ(parsed.line->options.unit_scheme(), v1::UNIT_SCHEME_NODE);
  EXPECT_EQ(parsed.line->options.tau(), 0.125);
  EXPECT_EQ(parsed.line->options.attack_step_count(), 6);
  EXPECT_EQ(parsed.line->options.seed(), 8);
}

TEST(ParseCommandLine, LeavesWhatIsNotSaidOfAPruningToTheServer) {
  const Parsed parsed = Parse({"prune", "a", "--decomposition", "main"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->prune.request.options().ByteSizeLong(), 0u);
  EXPECT_EQ(parsed.line->options.ByteSizeLong(), 0u);
  const Parsed attacked =
      Parse({"prune", "a", "--decomposition=d", "--adversary"});
  ASSERT_TRUE(attacked.line.has_value()) << attacked.err;
  EXPECT_TRUE(attacked.line->prune.request.options().has_adversary());
}

TEST(ParseCommandLine, RefusesPruningsThatItCannotRead) {
  const std::vector<std::vector<const char*>> mistakes = {
      {"prune"},
      {"prune", "a"},
      {"prune", "--decomposition=d"},
      {"prune", "a", "--decomposition=d", "--coefficients=1e-4,x"},
      {"prune", "a", "--decomposition=d", "--loss=both"},
      {"prune", "a", "--decomposition=d", "--seed=-1"},
      {"prune", "a", "--decomposition=d", "--target=a", "--target-id=1"},
      {"prune", "a", "--decomposition=d", "--tau=1"},
      {"prune", "a", "--decomposition=d", "--certificate=c"},
      {"prune", "a", "--decomposition=d", "--crystallize", "--units=head"},
  };
  for (const auto& arguments : mistakes) {
    const Parsed parsed = Parse(arguments);
    EXPECT_FALSE(parsed.line.has_value()) << testing::PrintToString(arguments);
    EXPECT_EQ(parsed.exit_code, kExitUsage);
  }
}

TEST(ParseCommandLine, TakesPromptsFromSavedSets) {
  const Parsed graph =
      Parse({"attribute", "--nodes-from", "f", "--row=2", "--certified"});
  ASSERT_TRUE(graph.line.has_value()) << graph.err;
  EXPECT_FALSE(graph.line->has_prompt());
  EXPECT_EQ(graph.line->set.path, "f");
  EXPECT_EQ(graph.line->set.choice.row, 2);
  EXPECT_TRUE(graph.line->set.choice.certified);
  const Parsed search = Parse({"crystallize", "--units-from=-"});
  ASSERT_TRUE(search.line.has_value()) << search.err;
  EXPECT_EQ(search.line->set.path, "-");
  EXPECT_FALSE(search.line->set.choice.row.has_value());
  EXPECT_EQ(Parse({"attribute", "a", "--row=2"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"crystallize", "a", "--certified"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"ablate", "--nodes-from=f"}).exit_code, kExitUsage);
}

TEST(ParseCommandLine, TakesGlobalOptionsOnBothSidesOfTheCommand) {
  const Parsed parsed = Parse(
      {"--output=json", "models", "--server", "[::1]:5", "--timeout", "2.5"});
  ASSERT_TRUE(parsed.line.has_value()) << parsed.err;
  EXPECT_EQ(parsed.line->output, OutputFormat::kJson);
  EXPECT_EQ(parsed.line->server, "[::1]:5");
  EXPECT_EQ(parsed.line->timeout_seconds, 2.5);
}

TEST(ParseCommandLine, ReadsTheServerFromTheEnvironment) {
  setenv("SPAR_SERVER", "there:1", 1);
  const Parsed parsed = Parse({"models"});
  unsetenv("SPAR_SERVER");
  ASSERT_TRUE(parsed.line.has_value());
  EXPECT_EQ(parsed.line->server, "there:1");
}

TEST(ParseCommandLine, TakesPromptsAsTheyAre) {
  for (const char* const prompt :
       {"-", "[a, b]", "\"x\"", "it's", "a,b", "{}", "", " x ", "a=b", "#"}) {
    const Parsed parsed = Parse({"predict", prompt});
    ASSERT_TRUE(parsed.line.has_value()) << prompt << parsed.err;
    EXPECT_EQ(parsed.line->prompt_text, prompt);
  }
  const Parsed dashed = Parse({"predict", "--", "--help me"});
  ASSERT_TRUE(dashed.line.has_value()) << dashed.err;
  EXPECT_EQ(dashed.line->prompt_text, "--help me");
}

TEST(ParseCommandLine, ExplainsMistakesAndExitsWithUsage) {
  const std::vector<std::vector<const char*>> mistakes = {
      {},
      {"explode"},
      {"predict"},
      {"tokenize"},
      {"verify"},
      {"crystallize", "a", "--tokens", "1"},
      {"crystallize", "a", "--mode", "both"},
      {"crystallize", "a", "--tau", "x"},
      {"crystallize", "a", "--target", "b", "--target-id", "1"},
      {"predict", "--tokens", "1,two"},
      {"predict", "--tokens", "99999999999"},
      {"models", "--timeout", "-1"},
      {"models", "--color", "blue"},
      {"predict", "a", "b"},
  };
  for (const auto& arguments : mistakes) {
    const Parsed parsed = Parse(arguments);
    EXPECT_FALSE(parsed.line.has_value()) << testing::PrintToString(arguments);
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_NE(parsed.err, "");
    EXPECT_EQ(parsed.out, "");
  }
}

TEST(ParseCommandLine, TellsTheExitCodesInItsHelp) {
  const Parsed parsed = Parse({"--help"});
  EXPECT_FALSE(parsed.line.has_value());
  EXPECT_EQ(parsed.exit_code, kExitOk);
  EXPECT_NE(parsed.out.find("130  interrupted"), std::string::npos);
  EXPECT_EQ(parsed.err, "");
}

}  // namespace
}  // namespace spar::client
