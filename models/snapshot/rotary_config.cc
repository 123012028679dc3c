#include "models/snapshot/rotary_config.h"

#include <optional>

#include "base/status.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

constexpr char kNew[] = "rope_parameters.";
constexpr char kOld[] = "rope_scaling.";

constexpr RealRange kThetaRange{.above = 0, .max = 1e12};
constexpr RealRange kPartialRange{.above = 0, .max = 1};
constexpr RealRange kFactorRange{.above = 0, .max = 1e6};

std::optional<double> ScalingReal(ConfigReader& config,
                                  const std::string& name) {
  return config.AgreedReal({kNew + name, kOld + name}, kFactorRange);
}

double RequiredReal(ConfigReader& config, const std::string& name) {
  const std::optional<double> value = ScalingReal(config, name);
  if (!value.has_value()) {
    config.Refuse(config.IsSet("rope_parameters") ? kNew + name : kOld + name,
                  "this rope scaling needs it");
  }
  return value.value_or(1.0);
}

void ReadLlama3(ConfigReader& config, Rotary* rotary) {
  rotary->scaling = RopeScalingKind::kLlama3;
  rotary->factor = RequiredReal(config, "factor");
  rotary->low_frequency_factor = RequiredReal(config, "low_freq_factor");
  rotary->high_frequency_factor = RequiredReal(config, "high_freq_factor");
  const std::string context = "original_max_position_embeddings";
  const std::string outer = config.IsSet("rope_parameters") ? kNew : kOld;
  rotary->original_context =
      config.AgreedInt({kNew + context, kOld + context, context}, kContextRange)
          .value_or(0);
  if (rotary->original_context == 0) {
    config.Refuse(outer + context, "this rope scaling needs it");
  }
  if (rotary->high_frequency_factor <= rotary->low_frequency_factor) {
    config.Refuse(outer + "high_freq_factor",
                  base::Cat("not above low_freq_factor, which is ",
                            rotary->low_frequency_factor));
  }
}

void ReadScaling(ConfigReader& config, Rotary* rotary) {
  const std::string type =
      config
          .AgreedText({"rope_parameters.rope_type", "rope_parameters.type",
                       "rope_scaling.rope_type", "rope_scaling.type"})
          .value_or("default");
  if (type == "linear") {
    rotary->scaling = RopeScalingKind::kLinear;
    rotary->factor = RequiredReal(config, "factor");
  } else if (type == "llama3") {
    ReadLlama3(config, rotary);
  } else if (type != "default") {
    const char* const outer = config.IsSet("rope_parameters.rope_type") ||
                                      config.IsSet("rope_parameters.type")
                                  ? "rope_parameters"
                                  : "rope_scaling";
    const std::string field = base::Cat(
        outer,
        config.IsSet(base::Cat(outer, ".rope_type")) ? ".rope_type" : ".type");
    config.Refuse(field, "known are default, linear and llama3");
  }
}

void CheckIsObject(ConfigReader& config, const std::string& field) {
  if (config.IsSet(field) && !config.IsObject(field)) {
    config.Refuse(field, "want an object");
  }
}

}  // namespace

Rotary ReadRotary(ConfigReader& config,
                  int head_dim,
                  const RotaryFields& fields) {
  CheckIsObject(config, "rope_parameters");
  CheckIsObject(config, "rope_scaling");
  Rotary rotary;
  rotary.theta =
      config
          .AgreedReal({"rope_parameters.rope_theta", "rope_scaling.rope_theta",
                       fields.theta, "rope_theta"},
                      kThetaRange)
          .value_or(10000.0);
  const double partial =
      config
          .AgreedReal({"rope_parameters.partial_rotary_factor",
                       "rope_scaling.partial_rotary_factor", fields.partial,
                       "partial_rotary_factor"},
                      kPartialRange)
          .value_or(fields.default_partial);
  const std::string partial_field =
      config.IsSet("rope_parameters.partial_rotary_factor")
          ? "rope_parameters.partial_rotary_factor"
          : fields.partial;
  if (partial != 1.0 && !fields.allows_partial) {
    config.Refuse(partial_field, "this family rotates whole heads");
  }
  rotary.dim = static_cast<int>(head_dim * partial);
  if (rotary.dim < 2 || rotary.dim % 2 != 0) {
    config.Refuse(partial_field,
                  base::Cat("rotates ", rotary.dim, " of the ", head_dim,
                            " coordinates of a head, want an even number"));
  }
  ReadScaling(config, &rotary);
  return rotary;
}

}  // namespace spar::models
