#include "models/decomposition/decomposition_json.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/ci_json.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/spec_names.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/config_reader.h"
#include "models/snapshot/limits.h"
#include "models/snapshot/model_file.h"
#include "models/snapshot/strict_json.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

constexpr char kFormat[] = "spar-decomposition";
constexpr int kVersion = 1;
constexpr size_t kMaxJsonBytes = size_t{16} << 20;
constexpr size_t kMaxModules = 16'384;
constexpr IntRange kVersionRange{.min = kVersion, .max = kVersion};
constexpr IntRange kComponentsRange{.min = 1, .max = 1 << 20};
constexpr int64_t kMaxComponents = int64_t{1} << 23;

absl::Status ReadModule(ConfigReader& config,
                        std::map<std::string, DecomposedModule*>& by_name) {
  const std::string name = config.Text("name");
  const int d_in = config.Int("d_in", {.min = 1, .max = 1 << 24});
  const int d_out = config.Int("d_out", {.min = 1, .max = 1 << 24});
  const int components = config.Int("components", kComponentsRange);
  const std::optional<int> alive =
      config.OptionalInt("alive", {.min = 0, .max = components});
  RETURN_IF_ERROR(config.Finish());
  const auto found = by_name.find(name);
  if (found == by_name.end()) {
    config.Refuse("name",
                  "the model has no such module that can be decomposed: the "
                  "token embedding, or a layer's q, k, v (or fused), o, gate, "
                  "up or down projection");
    return config.Finish();
  }
  DecomposedModule& module = *found->second;
  if (module.num_components != 0) config.Refuse("name", "occurs twice");
  if (module.d_in != d_in) {
    config.Refuse("d_in", base::Cat("the model's is ", module.d_in));
  }
  if (module.d_out != d_out) {
    config.Refuse("d_out", base::Cat("the model's is ", module.d_out));
  }
  module.num_components = components;
  module.num_alive = alive;
  return config.Finish();
}

absl::StatusOr<std::vector<DecomposedModule>> ReadModules(
    ConfigReader& config, const DecoderSpec& target) {
  std::vector<DecomposedModule> modules = DecomposableModules(target);
  std::map<std::string, DecomposedModule*> by_name;
  for (DecomposedModule& module : modules) by_name[module.name] = &module;
  std::vector<ConfigReader> entries = config.Objects("modules", kMaxModules);
  for (ConfigReader& entry : entries) {
    RETURN_IF_ERROR(ReadModule(entry, by_name));
  }
  std::erase_if(modules, [](const DecomposedModule& module) {
    return module.num_components == 0;
  });
  NumberComponents(modules);
  if (config.ok() && modules.empty()) config.Refuse("modules", "none is there");
  int64_t total = 0;
  for (const DecomposedModule& module : modules) {
    total += module.num_components;
  }
  if (total > kMaxComponents) {
    config.Refuse("modules",
                  base::Cat("together ", total, " subcomponents, at most ",
                            kMaxComponents));
  }
  return modules;
}

bool IsHexDigest(std::string_view text) {
  return text.size() == 64 &&
         text.find_first_not_of("0123456789abcdef") == text.npos;
}

Json ToJson(const DecompositionSpec& spec, bool with_notes) {
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"target", {{"weights_digest", spec.target_weights_digest}}},
               {"modules", Json::array()},
               {"ci", CiJson(spec)},
               {"sigmoid", NameIn(kCiSigmoidNames, spec.sigmoid)},
               {"sampling", NameIn(kMaskSamplingNames, spec.sampling)},
               {"delta", spec.has_delta}};
  for (const DecomposedModule& module : spec.modules) {
    Json entry = {{"name", module.name},
                  {"d_in", module.d_in},
                  {"d_out", module.d_out},
                  {"components", module.num_components}};
    if (with_notes && module.num_alive.has_value()) {
      entry["alive"] = *module.num_alive;
    }
    json["modules"].push_back(std::move(entry));
  }
  if (with_notes) {
    Json training = Json::parse(spec.training_json, nullptr,
                                /*allow_exceptions=*/false);
    if (training.is_object()) json["training"] = std::move(training);
  }
  return json;
}

}  // namespace

absl::StatusOr<DecompositionSpec> ReadDecompositionJson(
    const std::filesystem::path& path, const DecoderSpec& target) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxJsonBytes));
  absl::StatusOr<Json> json = ParseJsonObject(text);
  if (!json.ok()) return BadModel(path, base::MessageOf(json.status()));
  DecompositionSpec spec;
  if (const auto training = json->find("training"); training != json->end()) {
    if (!training->is_object()) {
      return BadModel(path, "field 'training' is not an object",
                      {{"field", "training"}});
    }
    spec.training_json = training->dump();
  }
  ConfigReaderOptions options;
  options.allow_harmless_fields = false;
  ConfigReader config(path, *std::move(json), std::move(options));
  config.Ignore("training");
  if (config.Text("format") != kFormat) {
    config.Refuse("format", base::Cat("want '", kFormat, "'"));
  }
  config.Int("version", kVersionRange);
  spec.target_weights_digest = config.Text("target.weights_digest");
  if (!IsHexDigest(spec.target_weights_digest)) {
    config.Refuse("target.weights_digest",
                  "want 64 lower-case hexadecimal digits");
  }
  if (!config.ok()) return config.Finish();
  ASSIGN_OR_RETURN(spec.modules, ReadModules(config, target));
  if (!config.ok()) return config.Finish();
  ASSIGN_OR_RETURN(spec.ci, ReadCi(config, spec.modules));
  spec.sigmoid = ReadName(config, "sigmoid", kCiSigmoidNames);
  spec.sampling = ReadName(config, "sampling", kMaskSamplingNames);
  spec.has_delta = config.Bool("delta");
  RETURN_IF_ERROR(config.Finish());
  return spec;
}

std::string DecompositionJsonText(const DecompositionSpec& spec) {
  return ToJson(spec, /*with_notes=*/true)
             .dump(2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

std::string CanonicalDecompositionJson(const DecompositionSpec& spec) {
  return ToJson(spec, /*with_notes=*/false)
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace spar::models
