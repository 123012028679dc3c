// L6. What `spard` is told: flags and a JSON file to plain values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/listen_address.h"
#include "server/search/explainer.h"

namespace spar {

// A decomposition folder (docs/formats.md), and its name beside its model.
struct DecompositionSource {
  std::string id = {};
  std::filesystem::path folder = {};
};

struct ModelSource {
  std::string id = {};
  std::filesystem::path folder = {};
  // Empty: the file beside the model, where there is one.
  std::filesystem::path reference_prompts = {};
  std::vector<DecompositionSource> decompositions = {};  // by id
};

// How models are loaded.
struct BackendSettings {
  std::string device = "cpu";
  std::string dtype = "float32";
  std::string decomposition_dtype = "float32";  // of storage
  int threads = 0;              // of one batch; 0: half of the processors
  int workers = 0;              // batches at a time; 0: two on the CPU
  int64_t max_batch_bytes = 0;  // 0: from the memory that is free at load
  std::filesystem::path cache_dir = {};  // empty: nothing is kept
};

// `spard`: serve models.
struct ServeCommand {
  ListenAddress listen = {};
  std::optional<ListenAddress> metrics_listen = std::nullopt;
  std::vector<ModelSource> models = {};
  bool require_all_models = false;
  BackendSettings backend = {};
  search::ExplainerOptions explainer = {};
  int drain_seconds = 10;
  bool reflection = true;
  // What clients train goes below it; empty: they train nothing.
  std::filesystem::path training_dir = {};
};

// `spard verify`: check one certificate without a server.
struct VerifyCommand {
  std::filesystem::path certificate = {};
  ModelSource model = {};
  BackendSettings backend = {};
};

// `spard train`: train a decomposition without a server.
struct TrainCommand {
  std::filesystem::path config = {};
  bool resume = false;
  std::string device = "cpu";
  int threads = 0;  // 0: LibTorch's own choice
  std::filesystem::path cache_dir = {};
};

// Print and leave: help, the version, or what is wrong with the arguments.
struct ShowText {
  std::string text = {};
  int exit_code = 0;  // 0: to standard output; 2: to standard error
};

using Command =
    std::variant<ServeCommand, VerifyCommand, TrainCommand, ShowText>;

// `arguments` without the program's name. Reads the file of --config.
Command ParseCommandLine(const std::vector<std::string>& arguments);

}  // namespace spar
