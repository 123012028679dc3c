#include "server/config.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "server/config_file.h"
#include "server/service/model_registry.h"

namespace spar {
namespace {

namespace fs = std::filesystem;

constexpr char kAbout[] =
    "Serves models and explains their predictions over gRPC.";
constexpr char kExitCodes[] =
    "Exit codes: 0 stopped by a signal; 1 nothing could be served; 2 bad "
    "flags or configuration.";
constexpr char kAboutVerify[] =
    "Checks a certificate (canonical JSON, or a file that holds it) against a "
    "model folder, by a separate code path.";
constexpr char kVerifyExitCodes[] =
    "Exit codes: 0 it holds; 1 it does not; 2 bad flags, or the certificate "
    "or the model cannot be read.";

constexpr char kAboutTrain[] =
    "Trains a decomposition of a model, as a JSON file says "
    "(docs/training.md).";
constexpr char kTrainExitCodes[] =
    "Exit codes: 0 trained to the end; 1 training failed; 2 bad flags, "
    "configuration, model or data; 3 stopped by a signal, with a checkpoint.";

// $XDG_CACHE_HOME/spar, else ~/.cache/spar, else none.
std::string DefaultCacheDir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return base::Cat(cache, "/spar");
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') {
    return base::Cat(home, "/.cache/spar");
  }
  return "";
}

// The flags as they are written, before they are understood.
struct RawFlags {
  std::string listen = "127.0.0.1:7430";
  std::string metrics_listen = {};
  bool allow_remote = false;
  std::string training_dir = {};
  bool no_reflection = false;
  std::vector<std::string> models = {};
  std::vector<std::string> reference_prompts = {};
  std::vector<std::string> decompositions = {};
  std::string cache_dir = DefaultCacheDir();
  ServeCommand serve;

  std::string certificate = {};
  std::string verify_folder = {};
  std::string verify_prompts = {};
  std::string verify_decomposition = {};

  std::string train_config = {};
  bool resume = false;
};

void AddBackendFlags(RawFlags* raw, CLI::App* app) {
  BackendSettings& backend = raw->serve.backend;
  app->add_option("--device", backend.device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  app->add_option("--dtype", backend.dtype,
                  "numeric type of the weights: float32, bfloat16 or float16")
      ->capture_default_str();
  app->add_option("--threads", backend.threads,
                  "CPU threads of one batch; 0: half of the processors, which "
                  "leaves room for the second batch and for others")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app->add_option("--max-batch-bytes", backend.max_batch_bytes,
                  "memory for one batch; 0: from what is free at load")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app->add_option("--cache-dir", raw->cache_dir,
                  "where digests and mean activations are kept; empty: nowhere")
      ->capture_default_str();
}

void AddServerFlags(RawFlags* raw, CLI::App* app) {
  app->add_option("--listen", raw->listen,
                  "HOST:PORT of the gRPC server; port 0: any free one")
      ->capture_default_str();
  app->add_flag("--allow-remote", raw->allow_remote,
                "listen on addresses that other machines reach: the traffic is "
                "plain text and anyone may call");
  app->add_option("--metrics-listen", raw->metrics_listen,
                  "HOST:PORT of Prometheus' /metrics; empty: none")
      ->capture_default_str();
  app->add_option("--training-dir", raw->training_dir,
                  "FOLDER below which clients may train decompositions: data "
                  "is read and results are written there and nowhere else; "
                  "empty: no training");
  app->add_flag("--no-reflection", raw->no_reflection,
                "do not tell clients the services' definitions");
  app->add_option("--drain-seconds", raw->serve.drain_seconds,
                  "time that calls in progress get after SIGTERM or SIGINT")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
}

void AddModelFlags(RawFlags* raw, CLI::App* app) {
  app->add_option("--model", raw->models,
                  "NAME=FOLDER: serve this Hugging Face snapshot folder as "
                  "models/NAME; repeat for more")
      ->allow_extra_args(false);
  app->add_option("--reference-prompts", raw->reference_prompts,
                  "NAME=FILE: the reference prompts of a model, one a line; "
                  "repeat for more")
      ->allow_extra_args(false);
  app->add_option("--decomposition", raw->decompositions,
                  "MODEL/NAME=FOLDER: load this decomposition of a model as "
                  "models/MODEL/decompositions/NAME; repeat for more")
      ->allow_extra_args(false);
  app->add_option("--decomposition-dtype",
                  raw->serve.backend.decomposition_dtype,
                  "what decompositions are stored in: float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app->add_flag("--require-all-models", raw->serve.require_all_models,
                "leave with 1 when a model cannot be loaded, instead of "
                "serving the others");
  app->add_option("--workers", raw->serve.backend.workers,
                  "batches of one model that run at a time on the CPU; 0: two, "
                  "or one where there is one processor")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  search::ExplainerOptions& explainer = raw->serve.explainer;
  app->add_option("--max-batch-rows", explainer.max_batch_rows,
                  "rows of one device batch")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  app->add_option("--batch-window-us", explainer.batch_window_micros,
                  "longest wait of a row for company, in microseconds")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app->add_option("--max-searches", explainer.max_searches,
                  "searches of one model at a time; more are refused")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
}

CLI::App* AddVerify(RawFlags* raw, CLI::App* app) {
  CLI::App* verify = app->add_subcommand("verify", kAboutVerify);
  verify->footer(kVerifyExitCodes);
  verify->add_option("certificate", raw->certificate, "file, or - for stdin")
      ->required();
  verify->add_option("--model", raw->verify_folder, "FOLDER of the model")
      ->required();
  verify->add_option("--reference-prompts", raw->verify_prompts,
                     "FILE of the model's reference prompts");
  verify->add_option("--decomposition", raw->verify_decomposition,
                     "FOLDER of the decomposition whose units it is about");
  AddBackendFlags(raw, verify);
  return verify;
}

CLI::App* AddTrain(RawFlags* raw, CLI::App* app) {
  CLI::App* train = app->add_subcommand("train", kAboutTrain);
  train->footer(kTrainExitCodes);
  train->add_option("--config", raw->train_config, "FILE that says all of it")
      ->required();
  train->add_flag("--resume", raw->resume,
                  "go on from the latest checkpoint, where there is one");
  BackendSettings& backend = raw->serve.backend;
  train->add_option("--device", backend.device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  train
      ->add_option("--threads", backend.threads,
                   "CPU threads; 0: as many as LibTorch chooses")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  train
      ->add_option("--cache-dir", raw->cache_dir,
                   "where digests are kept; empty: nowhere")
      ->capture_default_str();
  return train;
}

TrainCommand TrainCommandOf(const RawFlags& raw) {
  return {.config = raw.train_config,
          .resume = raw.resume,
          .device = raw.serve.backend.device,
          .threads = raw.serve.backend.threads,
          .cache_dir = raw.cache_dir};
}

absl::StatusOr<std::pair<std::string, std::string>> SplitPair(
    const std::string& text, std::string_view flag) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) {
    return base::InvalidArgument(
        "BAD_FLAG", "", base::Cat(flag, " is '", text, "': want NAME=PATH"));
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

// "MODEL/NAME=FOLDER" to the decompositions of its model.
absl::Status AddDecomposition(const std::string& text,
                              std::map<std::string, ModelSource>* models) {
  ASSIGN_OR_RETURN(const auto pair, SplitPair(text, "--decomposition"));
  const size_t slash = pair.first.find('/');
  if (slash == pair.first.npos) {
    return base::InvalidArgument(
        "BAD_FLAG", "",
        base::Cat("--decomposition is '", text, "': want MODEL/NAME=FOLDER"));
  }
  const std::string model_id = pair.first.substr(0, slash);
  const DecompositionSource source{.id = pair.first.substr(slash + 1),
                                   .folder = pair.second};
  RETURN_IF_ERROR(
      base::Annotate(service::CheckModelId(source.id), "--decomposition"));
  const auto model = models->find(model_id);
  if (model == models->end()) {
    return base::InvalidArgument("BAD_FLAG", "",
                                 base::Cat("--decomposition names ", model_id,
                                           ", which no --model does"));
  }
  std::vector<DecompositionSource>& known = model->second.decompositions;
  for (const DecompositionSource& other : known) {
    if (other.id != source.id) continue;
    return base::InvalidArgument("BAD_FLAG", "",
                                 base::Cat("two decompositions of ", model_id,
                                           " are named ", source.id));
  }
  known.push_back(source);
  std::sort(known.begin(), known.end(),
            [](const DecompositionSource& a, const DecompositionSource& b) {
              return a.id < b.id;
            });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ModelSource>> ModelsOf(const RawFlags& raw) {
  std::map<std::string, ModelSource> models;
  for (const std::string& text : raw.models) {
    ASSIGN_OR_RETURN(const auto pair, SplitPair(text, "--model"));
    RETURN_IF_ERROR(service::CheckModelId(pair.first));
    const ModelSource source{.id = pair.first, .folder = pair.second};
    if (!models.emplace(pair.first, source).second) {
      return base::InvalidArgument(
          "BAD_FLAG", "", base::Cat("two models are named ", pair.first));
    }
  }
  for (const std::string& text : raw.reference_prompts) {
    ASSIGN_OR_RETURN(const auto pair, SplitPair(text, "--reference-prompts"));
    const auto model = models.find(pair.first);
    if (model == models.end()) {
      return base::InvalidArgument(
          "BAD_FLAG", "",
          base::Cat("--reference-prompts names ", pair.first,
                    ", which no --model does"));
    }
    model->second.reference_prompts = pair.second;
  }
  for (const std::string& text : raw.decompositions) {
    RETURN_IF_ERROR(AddDecomposition(text, &models));
  }
  std::vector<ModelSource> sources;
  for (const auto& [id, source] : models) sources.push_back(source);
  return sources;
}

absl::StatusOr<ListenAddress> AddressOf(const std::string& text,
                                        std::string_view flag,
                                        bool allow_remote) {
  ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(text, flag));
  if (!address.loopback && !allow_remote) {
    return base::InvalidArgument(
        "REMOTE_ADDRESS", "",
        base::Cat(flag, " is ", text,
                  ", which other machines may reach: the traffic is plain "
                  "text; say --allow-remote if that is meant"));
  }
  return address;
}

absl::Status CheckTrainingDir(const std::string& folder) {
  std::error_code ignored;
  if (folder.empty() || fs::is_directory(folder, ignored)) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(
      "BAD_FLAG", "",
      base::Cat("--training-dir is '", folder, "', which is no folder"));
}

absl::StatusOr<ServeCommand> ServeCommandOf(const RawFlags& raw) {
  ServeCommand serve = raw.serve;
  serve.backend.cache_dir = raw.cache_dir;
  serve.reflection = !raw.no_reflection;
  RETURN_IF_ERROR(CheckTrainingDir(raw.training_dir));
  serve.training_dir = raw.training_dir;
  ASSIGN_OR_RETURN(serve.listen,
                   AddressOf(raw.listen, "--listen", raw.allow_remote));
  if (!raw.metrics_listen.empty()) {
    ASSIGN_OR_RETURN(
        serve.metrics_listen,
        AddressOf(raw.metrics_listen, "--metrics-listen", raw.allow_remote));
  }
  ASSIGN_OR_RETURN(serve.models, ModelsOf(raw));
  if (serve.models.empty()) {
    return base::InvalidArgument("BAD_FLAG", "",
                                 "no model: give at least one --model "
                                 "NAME=FOLDER (spard --help tells all flags)");
  }
  return serve;
}

VerifyCommand VerifyCommandOf(const RawFlags& raw) {
  VerifyCommand verify;
  verify.certificate = raw.certificate;
  verify.model.id = "model";
  verify.model.folder = raw.verify_folder;
  verify.model.reference_prompts = raw.verify_prompts;
  if (!raw.verify_decomposition.empty()) {
    verify.model.decompositions.push_back(
        {.id = "decomposition", .folder = raw.verify_decomposition});
  }
  verify.backend = raw.serve.backend;
  verify.backend.workers = 1;
  verify.backend.cache_dir = raw.cache_dir;
  return verify;
}

}  // namespace

Command ParseCommandLine(const std::vector<std::string>& arguments) {
  RawFlags raw;
  CLI::App app(kAbout, "spard");
  app.footer(kExitCodes);
  app.set_version_flag("--version", "spard " SPAR_VERSION);
  app.config_formatter(std::make_shared<JsonConfig>());
  app.set_config("--config", "",
                 "JSON file with the same settings, keys without the dashes; "
                 "flags win");
  app.allow_config_extras(CLI::config_extras_mode::error);
  AddServerFlags(&raw, &app);
  AddModelFlags(&raw, &app);
  AddBackendFlags(&raw, &app);
  const CLI::App* verify = AddVerify(&raw, &app);
  const CLI::App* train = AddTrain(&raw, &app);

  // CLI11 says everything by exceptions, its help included; they end here.
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    const CLI::App& asked =
        verify->parsed() ? *verify : (train->parsed() ? *train : app);
    return ShowText{.text = asked.help()};
  } catch (const CLI::CallForVersion& version) {
    return ShowText{.text = base::Cat(version.what(), "\n")};
  } catch (const CLI::Error& error) {
    return ShowText{.text = base::Cat("spard: ", error.what(), "\n"),
                    .exit_code = 2};
  }
  if (verify->parsed()) return VerifyCommandOf(raw);
  if (train->parsed()) return TrainCommandOf(raw);
  absl::StatusOr<ServeCommand> serve = ServeCommandOf(raw);
  if (serve.ok()) return *std::move(serve);
  return ShowText{
      .text = base::Cat("spard: ", base::MessageOf(serve.status()), "\n"),
      .exit_code = 2};
}

}  // namespace spar
