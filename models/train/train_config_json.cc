#include "models/train/train_config_json.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/spec_names.h"
#include "models/digest.h"
#include "models/snapshot/bad_model.h"
#include "models/snapshot/limits.h"
#include "models/snapshot/strict_json.h"
#include "models/train/loss_json.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kReason[] = "BAD_TRAIN_CONFIG";
// Steps are kept in float32 here and there.
constexpr IntRange kStepsRange{.min = 1, .max = 1 << 24};
constexpr IntRange kWarmupStepsRange{.min = 0, .max = 1 << 24};
constexpr IntRange kBatchRange{.min = 1, .max = 1 << 20};
constexpr IntRange kCountRange{.min = 1, .max = 1 << 20};
constexpr IntRange kEveryRange{.min = 1, .max = 1 << 24};
constexpr IntRange kSeedRange{.min = 0, .max = (int64_t{1} << 31) - 1};
constexpr size_t kMaxPatterns = 16'384;
constexpr size_t kMaxHidden = 16;
// What the weights do not depend on.
constexpr const char* kFreeFields[] = {"out_dir", "train_log_freq", "save_freq",
                                       "pretrained_model_path"};

constexpr std::array<std::pair<std::string_view, OutputDistance>, 2>
    kDistanceNames = {{
        {"kl", OutputDistance::kKl},
        {"mse", OutputDistance::kMse},
    }};

constexpr std::array<std::pair<std::string_view, DataConfig::Kind>, 3>
    kDataNames = {{
        {"tokens", DataConfig::Kind::kTokens},
        {"text", DataConfig::Kind::kText},
        {"demo", DataConfig::Kind::kDemo},
    }};

constexpr std::array<std::pair<std::string_view, int>, 2> kTokenTypeNames = {{
    {"uint16", 2},
    {"uint32", 4},
}};

constexpr std::array<std::pair<std::string_view, CiKind>, 4> kLayerwiseNames = {
    {
        {"mlp", CiKind::kMlp},
        {"vector_mlp", CiKind::kVectorMlp},
        {"shared_mlp", CiKind::kSharedMlp},
        {"sequence_mlp", CiKind::kSequenceMlp},
    }};

constexpr std::array<std::pair<std::string_view, CiKind>, 3> kGlobalNames = {{
    {"global_shared_mlp", CiKind::kGlobalSharedMlp},
    {"global_shared_transformer", CiKind::kGlobalSharedTransformer},
    {"global_reverse_residual", CiKind::kGlobalReverseResidual},
}};

std::vector<int> ReadHidden(ConfigReader& config,
                            const std::string& field,
                            bool may_be_empty) {
  const auto hidden = config.OptionalInts(field, kMlpWidthRange, kMaxHidden);
  if (!hidden.has_value()) {
    config.Refuse(field, "want an array of widths");
  } else if (hidden->empty() && !may_be_empty) {
    config.Refuse(field, "this kind needs at least one width");
  }
  return hidden.value_or(std::vector<int>{});
}

CiRotaryAttention ReadRotary(ConfigReader& config,
                             const std::string& field,
                             int width) {
  CiRotaryAttention attention;
  attention.num_heads = config.Int(field + ".n_heads", kHeadsRange);
  attention.max_positions =
      config.OptionalInt(field + ".max_len", kContextRange).value_or(2048);
  attention.rope_base =
      config.OptionalReal(field + ".rope_base", {.above = 0, .max = 1e12})
          .value_or(10000.0);
  if (width % (2 * attention.num_heads) != 0) {
    config.Refuse(
        field + ".n_heads",
        base::Cat("want heads of an even width, and the stream's is ", width));
  }
  return attention;
}

CiRelativeAttention ReadRelative(ConfigReader& config,
                                 const std::string& field) {
  CiRelativeAttention attention;
  attention.key_width = config.Int(field + ".key_width", kWidthRange);
  attention.value_width = config.Int(field + ".value_width", kWidthRange);
  attention.max_distance =
      config.Int(field + ".max_distance", {.min = 0, .max = 1 << 20});
  attention.relative =
      ReadName(config, field + ".relative", kRelativePositionsNames);
  attention.causal = config.Bool(field + ".causal");
  return attention;
}

absl::Status ReadGroups(ConfigReader& config, TrainConfig* train) {
  std::vector<ConfigReader> entries =
      config.Objects("ci_config.block_groups", kMaxPatterns);
  for (ConfigReader& entry : entries) {
    GroupPatterns group;
    group.name = entry.Text("name");
    group.patterns =
        entry.OptionalTexts("patterns").value_or(std::vector<std::string>{});
    if (group.patterns.empty()) entry.Refuse("patterns", "want at least one");
    RETURN_IF_ERROR(entry.Finish());
    train->groups.push_back(std::move(group));
  }
  return absl::OkStatus();
}

absl::Status ReadCiConfig(ConfigReader& config, TrainConfig* train) {
  CiSpec& ci = train->ci;
  const std::string mode = config.Text("ci_config.mode");
  if (mode == "layerwise") {
    ci.kind = ReadName(config, "ci_config.fn_type", kLayerwiseNames);
    ci.hidden = ReadHidden(config, "ci_config.hidden_dims",
                           ci.kind == CiKind::kSharedMlp);
    if (ci.kind == CiKind::kSequenceMlp) {
      ci.relative_attention = ReadRelative(config, "ci_config.attn_config");
    }
    return absl::OkStatus();
  }
  if (mode != "global") {
    config.Refuse("ci_config.mode", "known are layerwise, global");
    return absl::OkStatus();
  }
  ci.kind = ReadName(config, "ci_config.fn_type", kGlobalNames);
  if (ci.kind == CiKind::kGlobalSharedMlp) {
    ci.hidden = ReadHidden(config, "ci_config.hidden_dims", true);
  } else if (ci.kind == CiKind::kGlobalSharedTransformer) {
    const std::string cfg = "ci_config.simple_transformer_ci_cfg";
    ci.width = config.Int(cfg + ".d_model", kWidthRange);
    ci.num_blocks = config.Int(cfg + ".n_blocks", kLayersRange);
    ci.hidden = ReadHidden(config, cfg + ".mlp_hidden_dim", false);
    ci.attention = ReadRotary(config, cfg + ".attn_config", ci.width);
  } else {
    ci.width = config.Int("ci_config.d_resid_ci_fn", kWidthRange);
    ci.hidden = ReadHidden(config, "ci_config.reader_hidden_dims", true);
    ci.transition_hidden =
        config.OptionalInt("ci_config.transition_hidden_dim", kMlpWidthRange);
    if (config.IsSet("ci_config.transition_attn_config")) {
      ci.attention =
          ReadRotary(config, "ci_config.transition_attn_config", ci.width);
    }
    RETURN_IF_ERROR(ReadGroups(config, train));
  }
  return absl::OkStatus();
}

absl::Status ReadModules(ConfigReader& config, TrainConfig* train) {
  std::vector<ConfigReader> entries =
      config.Objects("module_info", kMaxPatterns);
  for (ConfigReader& entry : entries) {
    ModulePattern module;
    module.pattern = entry.Text("module_pattern");
    module.num_components = entry.Int("C", kCountRange);
    RETURN_IF_ERROR(entry.Finish());
    train->modules.push_back(std::move(module));
  }
  if (config.ok() && train->modules.empty()) {
    config.Refuse("module_info", "want at least one module");
  }
  return absl::OkStatus();
}

void ReadData(ConfigReader& config, DataConfig* data) {
  if (config.Text("task_config.task_name") != "lm") {
    config.Refuse("task_config.task_name", "known is lm");
  }
  data->sequence_length =
      config.Int("task_config.max_seq_len", {.min = 2, .max = 1 << 20});
  data->kind = ReadName(config, "task_config.data", kDataNames);
  if (data->kind == DataConfig::Kind::kDemo) return;
  data->path = config.file().parent_path() / config.Text("task_config.path");
  if (data->kind == DataConfig::Kind::kTokens) {
    data->token_bytes =
        ReadName(config, "task_config.token_type", kTokenTypeNames);
  }
}

void ReadWarmup(ConfigReader& config, TrainConfig* train) {
  train->warmup_steps =
      config.OptionalInt("faithfulness_warmup_steps", kWarmupStepsRange)
          .value_or(0);
  for (const char* field :
       {"faithfulness_warmup_lr", "faithfulness_warmup_weight_decay"}) {
    if (train->warmup_steps == 0 && config.IsSet(field)) {
      config.Refuse(field, "has no effect without faithfulness_warmup_steps");
    }
  }
  train->warmup_rate =
      config.OptionalReal("faithfulness_warmup_lr", {.above = 0, .max = 1e6})
          .value_or(1e-3);
  train->warmup_weight_decay =
      ReadNonNegative(config, "faithfulness_warmup_weight_decay", 0, 1e6);
}

// What a field that is not about one place needs of others.
void CheckTogether(ConfigReader& config, const TrainConfig& train) {
  bool stochastic = false, runs = false;
  for (const LossConfig& loss : train.losses) {
    stochastic |= loss.kind == LossKind::kStochasticRecon ||
                  loss.kind == LossKind::kStochasticHiddenActs;
    runs |= loss.kind != LossKind::kFaithfulness;
    if (!loss.persistent.has_value()) continue;
    if (train.batch_size % loss.persistent->num_sources != 0) {
      config.Refuse("batch_size", base::Cat("is no multiple of n_sources, ",
                                            loss.persistent->num_sources));
    }
  }
  if (config.IsSet("n_mask_samples") && !stochastic) {
    config.Refuse("n_mask_samples", "has no effect without a stochastic loss");
  }
  if (!runs) {
    config.Refuse("loss_metric_configs",
                  "nothing here trains the causal importances");
  }
}

std::string DigestOf(Json fields) {
  for (const char* field : kFreeFields) fields.erase(field);
  return Sha256Hex(fields.dump());
}

absl::StatusOr<TrainConfig> Read(const fs::path& file,
                                 const Json& fields,
                                 TrainConfigOptions options) {
  ConfigReader config(file, fields, {.allow_harmless_fields = false});
  TrainConfig train;
  const auto path = [&](const char* field) {
    return file.parent_path() / config.Text(field);
  };
  if (options.names_model) {
    train.model = path("pretrained_model_path");
  } else if (config.IsSet("pretrained_model_path")) {
    config.Refuse("pretrained_model_path", "the request names the model");
  }
  train.output = path("out_dir");
  ReadData(config, &train.data);
  RETURN_IF_ERROR(ReadModules(config, &train));
  RETURN_IF_ERROR(ReadCiConfig(config, &train));
  if (config.IsSet("sigmoid_type")) {
    train.sigmoid = ReadName(config, "sigmoid_type", kCiSigmoidNames);
  }
  if (config.IsSet("sampling")) {
    train.sampling = ReadName(config, "sampling", kMaskSamplingNames);
  }
  train.use_delta = config.OptionalBool("use_delta_component").value_or(true);
  if (config.IsSet("output_loss_type")) {
    train.distance = ReadName(config, "output_loss_type", kDistanceNames);
  }
  if (config.OptionalBool("autocast_bf16").value_or(false)) {
    config.Refuse("autocast_bf16", "training is in float32");
  }
  const int samples =
      config.OptionalInt("n_mask_samples", {.min = 1, .max = 1024}).value_or(1);
  ASSIGN_OR_RETURN(train.losses, ReadLosses(config, samples));
  train.seed =
      static_cast<uint64_t>(config.OptionalInt("seed", kSeedRange).value_or(0));
  train.steps = config.Int("steps", kStepsRange);
  train.batch_size = config.Int("batch_size", kBatchRange);
  train.rate = ReadSchedule(config, "lr_schedule");
  constexpr RealRange kNormRange{.above = 0, .max = 1e30};
  train.clip_components =
      config.OptionalReal("grad_clip_norm_components", kNormRange);
  train.clip_ci = config.OptionalReal("grad_clip_norm_ci_fns", kNormRange);
  ReadWarmup(config, &train);
  train.alive_threshold = ReadNonNegative(config, "ci_alive_threshold", 0, 1);
  train.log_every =
      config.OptionalInt("train_log_freq", kEveryRange).value_or(100);
  train.save_every =
      config.OptionalInt("save_freq", kEveryRange).value_or(1000);
  CheckTogether(config, train);
  RETURN_IF_ERROR(config.Finish());
  train.digest = DigestOf(fields);
  return train;
}

absl::Status Refused(const absl::Status& status) {
  base::ErrorDetail detail =
      base::DetailOf(status).value_or(base::ErrorDetail{});
  detail.reason = kReason;
  return base::Error(status.code(), base::MessageOf(status), detail);
}

}  // namespace

absl::StatusOr<TrainConfig> ParseTrainConfig(const fs::path& file,
                                             std::string_view text,
                                             TrainConfigOptions options) {
  const absl::StatusOr<Json> fields = ParseJsonObject(text);
  if (!fields.ok()) {
    return Refused(BadModel(file, base::MessageOf(fields.status())));
  }
  absl::StatusOr<TrainConfig> config = Read(file, *fields, options);
  if (!config.ok()) return Refused(config.status());
  return config;
}

absl::StatusOr<TrainConfig> ReadTrainConfig(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    return Refused(MissingModelFile(file, "cannot read this file"));
  }
  const std::string text((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  return ParseTrainConfig(file, text);
}

}  // namespace spar::models
