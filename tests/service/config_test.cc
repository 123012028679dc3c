#include "server/config.h"

#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"

namespace spar {
namespace {

using Arguments = std::vector<std::string>;

class ConfigTest : public ::testing::Test {
 protected:
  // The path of a configuration file with this text.
  std::string File(const std::string& text) {
    const std::string path =
        base::Cat(::testing::TempDir(), "/spard_config_test.json");
    std::ofstream(path) << text;
    return path;
  }

  ServeCommand Parse(const Arguments& arguments) {
    const Command command = ParseCommandLine(arguments);
    if (const auto* show = std::get_if<ShowText>(&command)) {
      ADD_FAILURE() << show->text;
      return ServeCommand();
    }
    return std::get<ServeCommand>(command);
  }

  void ExpectRefused(const Arguments& arguments, const std::string& about) {
    const Command command = ParseCommandLine(arguments);
    const auto* show = std::get_if<ShowText>(&command);
    ASSERT_NE(show, nullptr) << about;
    EXPECT_EQ(show->exit_code, 2);
    EXPECT_NE(show->text.find(about), std::string::npos) << show->text;
  }
};

TEST_F(ConfigTest, HasTheDocumentedDefaults) {
  const ServeCommand serve = Parse({"--model", "demo=folder"});
  EXPECT_EQ(serve.listen.ToString(), "127.0.0.1:7430");
  EXPECT_FALSE(serve.metrics_listen.has_value());
  ASSERT_EQ(serve.models.size(), 1u);
  EXPECT_EQ(serve.models[0].id, "demo");
  EXPECT_EQ(serve.models[0].folder, "folder");
  EXPECT_EQ(serve.models[0].reference_prompts, "");
  EXPECT_FALSE(serve.require_all_models);
  EXPECT_EQ(serve.backend.device, "cpu");
  EXPECT_EQ(serve.backend.dtype, "float32");
  EXPECT_EQ(serve.backend.threads, 0);
  EXPECT_EQ(serve.backend.workers, 0);
  EXPECT_EQ(serve.drain_seconds, 10);
  EXPECT_TRUE(serve.reflection);
  const search::ExplainerOptions defaults;
  EXPECT_EQ(serve.explainer.max_searches, defaults.max_searches);
  EXPECT_EQ(serve.explainer.max_batch_rows, defaults.max_batch_rows);
  EXPECT_EQ(serve.explainer.batch_window_micros, defaults.batch_window_micros);
}

TEST_F(ConfigTest, ReadsEveryFlag) {
  const ServeCommand serve = Parse({"--listen=[::1]:0",
                                    "--metrics-listen",
                                    "localhost:9",
                                    "--model",
                                    "a=x",
                                    "--model",
                                    "b=y=z",
                                    "--reference-prompts",
                                    "b=p",
                                    "--decomposition",
                                    "b/second=f",
                                    "--decomposition",
                                    "b/first=g=h",
                                    "--decomposition-dtype",
                                    "bfloat16",
                                    "--device",
                                    "cuda:1",
                                    "--dtype",
                                    "bfloat16",
                                    "--threads",
                                    "3",
                                    "--cache-dir",
                                    "/c",
                                    "--max-batch-rows",
                                    "8",
                                    "--batch-window-us",
                                    "0",
                                    "--max-searches",
                                    "5",
                                    "--max-batch-bytes",
                                    "1000000",
                                    "--drain-seconds",
                                    "0",
                                    "--no-reflection",
                                    "--require-all-models"});
  EXPECT_EQ(serve.listen.ToString(), "[::1]:0");
  EXPECT_EQ(serve.metrics_listen->ToString(), "localhost:9");
  ASSERT_EQ(serve.models.size(), 2u);
  EXPECT_EQ(serve.models[1].folder, "y=z");
  EXPECT_EQ(serve.models[1].reference_prompts, "p");
  EXPECT_TRUE(serve.models[0].decompositions.empty());
  ASSERT_EQ(serve.models[1].decompositions.size(), 2u);
  EXPECT_EQ(serve.models[1].decompositions[0].id, "first");
  EXPECT_EQ(serve.models[1].decompositions[0].folder, "g=h");
  EXPECT_EQ(serve.models[1].decompositions[1].id, "second");
  EXPECT_EQ(serve.backend.decomposition_dtype, "bfloat16");
  EXPECT_EQ(serve.backend.device, "cuda:1");
  EXPECT_EQ(serve.backend.dtype, "bfloat16");
  EXPECT_EQ(serve.backend.threads, 3);
  EXPECT_EQ(serve.backend.cache_dir, "/c");
  EXPECT_EQ(serve.backend.max_batch_bytes, 1'000'000);
  EXPECT_EQ(serve.explainer.max_batch_rows, 8);
  EXPECT_EQ(serve.explainer.batch_window_micros, 0);
  EXPECT_EQ(serve.explainer.max_searches, 5);
  EXPECT_EQ(serve.drain_seconds, 0);
  EXPECT_FALSE(serve.reflection);
  EXPECT_TRUE(serve.require_all_models);
}

TEST_F(ConfigTest, ReadsTheSameSettingsFromAFile) {
  const ServeCommand serve = Parse({"--config", File(R"({
      "listen": "127.0.0.1:0", "metrics-listen": "127.0.0.1:0",
      "model": {"a": "x", "b": "y"}, "reference-prompts": {"a": "p"},
      "decomposition": {"b/one": "d"},
      "require-all-models": true, "no-reflection": true, "threads": 2,
      "max-batch-bytes": 4096, "drain-seconds": 3, "cache-dir": ""})")});
  EXPECT_EQ(serve.listen.port, 0);
  EXPECT_EQ(serve.metrics_listen->port, 0);
  ASSERT_EQ(serve.models.size(), 2u);
  EXPECT_EQ(serve.models[0].reference_prompts, "p");
  EXPECT_EQ(serve.models[1].folder, "y");
  ASSERT_EQ(serve.models[1].decompositions.size(), 1u);
  EXPECT_EQ(serve.models[1].decompositions[0].folder, "d");
  EXPECT_TRUE(serve.require_all_models);
  EXPECT_FALSE(serve.reflection);
  EXPECT_EQ(serve.backend.threads, 2);
  EXPECT_EQ(serve.backend.max_batch_bytes, 4096);
  EXPECT_EQ(serve.backend.cache_dir, "");
  EXPECT_EQ(serve.drain_seconds, 3);
}

TEST_F(ConfigTest, LetsFlagsWinOverTheFile) {
  const ServeCommand serve =
      Parse({"--threads", "7", "--model", "c=z", "--config",
             File(R"({"threads": 2, "model": {"a": "x"}, "device": "cuda"})")});
  EXPECT_EQ(serve.backend.threads, 7);
  EXPECT_EQ(serve.backend.device, "cuda");
  ASSERT_EQ(serve.models.size(), 1u);
  EXPECT_EQ(serve.models[0].id, "c");
}

TEST_F(ConfigTest, RefusesFilesThatSayNothingItKnows) {
  const Arguments with = {"--model", "a=x", "--config"};
  const auto expect = [&](const std::string& text, const std::string& about) {
    Arguments arguments = with;
    arguments.push_back(File(text));
    ExpectRefused(arguments, about);
  };
  expect(R"({"treads": 2})", "treads");
  expect(R"({"threads": "many"})", "threads");
  expect(R"({"threads": -1})", "threads");
  expect(R"({"threads": null})", "threads");
  expect(R"({"threads": [[1]]})", "threads");
  expect(R"({"threads": )", "JSON");
  expect("[]", "object");
  ExpectRefused({"--config", "/nowhere/spard.json"}, "/nowhere/spard.json");
}

TEST_F(ConfigTest, RefusesBadFlags) {
  ExpectRefused({}, "--model");
  ExpectRefused({"--model", "a"}, "NAME=PATH");
  ExpectRefused({"--model", "a="}, "NAME=PATH");
  ExpectRefused({"--model", "A=x"}, "model name 'A'");
  ExpectRefused({"--model", "a=x", "--model", "a=y"}, "two models");
  ExpectRefused({"--model", "a=x", "--reference-prompts", "b=p"}, "b");
  ExpectRefused({"--model", "a=x", "--decomposition", "a=d"},
                "MODEL/NAME=FOLDER");
  ExpectRefused({"--model", "a=x", "--decomposition", "b/n=d"},
                "which no --model does");
  ExpectRefused({"--model", "a=x", "--decomposition", "a/N=d"}, "'N'");
  ExpectRefused({"--model", "a=x", "--decomposition", "a/n=d",
                 "--decomposition", "a/n=e"},
                "two decompositions of a are named n");
  ExpectRefused({"--model", "a=x", "--decomposition-dtype", "float16"},
                "decomposition-dtype");
  ExpectRefused({"--model", "a=x", "--threads", "1025"}, "threads");
  ExpectRefused({"--model", "a=x", "--max-batch-rows", "0"}, "max-batch-rows");
  ExpectRefused({"--model", "a=x", "--max-batch-bytes", "-1"},
                "max-batch-bytes");
  ExpectRefused({"--model", "a=x", "--drain-seconds", "x"}, "drain-seconds");
  ExpectRefused({"--model", "a=x", "--listen", "here"}, "HOST:PORT");
  ExpectRefused({"--model", "a=x", "stray"}, "stray");
  ExpectRefused({"--model", "a=x", "--unknown"}, "--unknown");
}

TEST_F(ConfigTest, ListensToOtherMachinesOnlyWhenTold) {
  ExpectRefused({"--model", "a=x", "--listen", "0.0.0.0:1"}, "--allow-remote");
  ExpectRefused({"--model", "a=x", "--metrics-listen", "0.0.0.0:1"},
                "--allow-remote");
  const ServeCommand serve =
      Parse({"--model", "a=x", "--listen", "0.0.0.0:1", "--allow-remote"});
  EXPECT_EQ(serve.listen.host, "0.0.0.0");
}

TEST_F(ConfigTest, TellsEveryFlagInItsHelp) {
  const Command command = ParseCommandLine({"--help"});
  const auto& show = std::get<ShowText>(command);
  EXPECT_EQ(show.exit_code, 0);
  for (const char* flag : {"--config",
                           "--listen",
                           "--allow-remote",
                           "--metrics-listen",
                           "--no-reflection",
                           "--drain-seconds",
                           "--model",
                           "--reference-prompts",
                           "--decomposition",
                           "--decomposition-dtype",
                           "--require-all-models",
                           "--training-dir",
                           "--max-batch-rows",
                           "--batch-window-us",
                           "--max-searches",
                           "--device",
                           "--dtype",
                           "--threads",
                           "--max-batch-bytes",
                           "--cache-dir",
                           "--version",
                           "verify"}) {
    EXPECT_NE(show.text.find(flag), std::string::npos) << flag;
  }
}

TEST_F(ConfigTest, TellsItsVersion) {
  const Command command = ParseCommandLine({"--version"});
  EXPECT_EQ(std::get<ShowText>(command).text.rfind("spard ", 0), 0u);
  EXPECT_EQ(std::get<ShowText>(command).exit_code, 0);
}

TEST_F(ConfigTest, ReadsTheVerifyCommand) {
  const Command command = ParseCommandLine(
      {"verify", "c.json", "--model", "folder", "--threads", "1",
       "--reference-prompts", "p", "--decomposition", "d"});
  const auto* verify = std::get_if<VerifyCommand>(&command);
  ASSERT_NE(verify, nullptr);
  EXPECT_EQ(verify->certificate, "c.json");
  EXPECT_EQ(verify->model.folder, "folder");
  EXPECT_EQ(verify->model.reference_prompts, "p");
  ASSERT_EQ(verify->model.decompositions.size(), 1u);
  EXPECT_EQ(verify->model.decompositions[0].folder, "d");
  EXPECT_EQ(verify->backend.threads, 1);
  ExpectRefused({"verify", "c.json"}, "--model");
  ExpectRefused({"verify", "--model", "x"}, "certificate");
}

TEST_F(ConfigTest, ReadsTheTrainCommand) {
  const Command command =
      ParseCommandLine({"train", "--config", "t.json", "--resume", "--threads",
                        "2", "--device", "cuda:1", "--cache-dir", "c"});
  const auto* train = std::get_if<TrainCommand>(&command);
  ASSERT_NE(train, nullptr);
  EXPECT_EQ(train->config, "t.json");
  EXPECT_TRUE(train->resume);
  EXPECT_EQ(train->threads, 2);
  EXPECT_EQ(train->device, "cuda:1");
  EXPECT_EQ(train->cache_dir, "c");
  const Command plain = ParseCommandLine({"train", "--config", "t.json"});
  EXPECT_FALSE(std::get<TrainCommand>(plain).resume);
  EXPECT_EQ(std::get<TrainCommand>(plain).threads, 0);
  ExpectRefused({"train"}, "--config");
  ExpectRefused({"train", "--config", "t", "--threads", "-1"}, "--threads");
  ExpectRefused({"train", "--config", "t", "--listen", "x"}, "--listen");
}

TEST_F(ConfigTest, ReadsTheTrainingFolder) {
  EXPECT_EQ(Parse({"--model", "a=f"}).training_dir, "");
  const std::string folder = ::testing::TempDir();
  EXPECT_EQ(Parse({"--model", "a=f", "--training-dir", folder}).training_dir,
            folder);
  const std::string file = File("{}");
  ExpectRefused({"--model", "a=f", "--training-dir", file}, "no folder");
  ExpectRefused({"--model", "a=f", "--training-dir", folder + "/none"},
                "--training-dir");
}

}  // namespace
}  // namespace spar
