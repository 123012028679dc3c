// L3. Certificate to canonical JSON and back. docs/certificate.md is the
// contract; the two must say the same.
#include "server/search/certificate.h"

#include <cerrno>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "models/digest.h"

namespace spar::search {
namespace {

using nlohmann::json;

std::string NumberText(double number) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.9g", number);
  return text;
}

json NumberTexts(const std::vector<double>& numbers) {
  json array = json::array();
  for (const double number : numbers) array.push_back(NumberText(number));
  return array;
}

std::string Canonical(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::Status Bad(std::string_view field, std::string_view what) {
  return base::InvalidArgument(
      "BAD_CERTIFICATE", base::Cat("certificate.", field),
      base::Cat("certificate field ", field, " ", what));
}

// Reads the fields of one object; the first fault stays.
class Reader {
 public:
  explicit Reader(const json& object, std::string path = {})
      : object_(object), path_(std::move(path)) {}

  const absl::Status& status() const { return status_; }

  void Read(const char* field, std::string& out) {
    const json* value = Find(field);
    if (value == nullptr) return;
    if (!value->is_string()) return Fail(field, "must be a string");
    out = value->get<std::string>();
  }
  void Read(const char* field, double& out) {
    const json* value = Find(field);
    if (value != nullptr) ParseNumber(field, *value, out);
  }
  template <typename Int>
  void ReadInt(const char* field, Int& out) {
    const json* value = Find(field);
    if (value != nullptr) ParseInt(field, *value, out);
  }
  void Read(const char* field, std::vector<double>& out) {
    for (const json& item : Array(field)) {
      double number = 0;
      ParseNumber(field, item, number);
      out.push_back(number);
    }
  }
  void Read(const char* field, std::vector<int32_t>& out) {
    for (const json& item : Array(field)) {
      int32_t number = 0;
      ParseInt(field, item, number);
      out.push_back(number);
    }
  }
  void Read(const char* field, std::vector<std::string>& out) {
    for (const json& item : Array(field)) {
      if (!item.is_string()) return Fail(field, "must hold strings");
      out.push_back(item.get<std::string>());
    }
  }
  void Read(const char* field, std::vector<std::vector<int32_t>>& out) {
    for (const json& item : Array(field)) {
      if (!item.is_array()) return Fail(field, "must hold arrays of integers");
      std::vector<int32_t> row;
      for (const json& cell : item) {
        int32_t number = 0;
        ParseInt(field, cell, number);
        row.push_back(number);
      }
      out.push_back(std::move(row));
    }
  }
  void Fail(const char* field, std::string_view what) {
    if (status_.ok()) status_ = Bad(path_ + field, what);
  }

 private:
  const json* Find(const char* field) {
    const auto found = object_.find(field);
    if (found != object_.end()) return &*found;
    Fail(field, "is missing");
    return nullptr;
  }
  const json& Array(const char* field) {
    static const json kEmpty = json::array();
    const json* value = Find(field);
    if (value == nullptr) return kEmpty;
    if (value->is_array()) return *value;
    Fail(field, "must be an array");
    return kEmpty;
  }
  template <typename Int>
  void ParseInt(const char* field, const json& value, Int& out) {
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() &&
         value.get<uint64_t>() >
             static_cast<uint64_t>(std::numeric_limits<Int>::max()))) {
      return Fail(field, "must hold integers that fit");
    }
    const int64_t number = value.get<int64_t>();
    if (number < std::numeric_limits<Int>::min() ||
        number > std::numeric_limits<Int>::max()) {
      return Fail(field, "must hold integers that fit");
    }
    out = static_cast<Int>(number);
  }
  void ParseNumber(const char* field, const json& value, double& out) {
    if (!value.is_string()) return Fail(field, "must hold numbers as strings");
    const std::string& text = value.get_ref<const std::string&>();
    char* end = nullptr;
    out = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || end != text.c_str() + text.size() ||
        !std::isfinite(out)) {
      Fail(field, "must hold finite numbers as strings");
    }
  }

  const json& object_;
  const std::string path_;  // before the names of its fields
  absl::Status status_;
};

absl::Status ReadEnums(Reader& reader, Certificate& certificate) {
  std::string mode;
  std::string reference;
  std::string position_mode;
  std::string scheme;
  std::string seed;
  reader.Read("mode", mode);
  reader.Read("reference", reference);
  reader.Read("position_mode", position_mode);
  reader.Read("unit_scheme", scheme);
  reader.Read("seed", seed);
  RETURN_IF_ERROR(reader.status());
  if (mode != "SUFFICIENT" && mode != "GROUNDED") {
    return Bad("mode", "must be SUFFICIENT or GROUNDED");
  }
  certificate.mode = mode == "GROUNDED" ? Mode::kGrounded : Mode::kSufficient;
  if (reference != "zero" && reference != "mean") {
    return Bad("reference", "must be zero or mean");
  }
  certificate.reference = reference == "mean" ? models::ReferenceKind::kMean
                                              : models::ReferenceKind::kZero;
  if (position_mode != "keep_ids" && position_mode != "reindex") {
    return Bad("position_mode", "must be keep_ids or reindex");
  }
  certificate.position_mode = position_mode == "reindex"
                                  ? models::PositionMode::kReindex
                                  : models::PositionMode::kKeepIds;
  const absl::StatusOr<models::UnitScheme> parsed =
      models::ParseUnitScheme(scheme);
  if (!parsed.ok()) return Bad("unit_scheme", "is unknown");
  certificate.scheme = *parsed;
  errno = 0;
  char* end = nullptr;
  certificate.seed = std::strtoull(seed.c_str(), &end, 10);
  if (seed.empty() || *end != '\0' || errno != 0 || seed[0] == '-') {
    return Bad("seed", "must be a decimal number below 2^64");
  }
  return absl::OkStatus();
}

bool OfDecomposition(const Certificate& c) {
  return models::SpaceOf(c.scheme) != models::UnitSpace::kHeadsAndNeurons;
}

absl::StatusOr<CertifiedAttack> ReadAttack(const json& object) {
  if (!object.is_object()) return Bad("attack", "must be an object");
  CertifiedAttack attack;
  Reader reader(object, "attack.");
  reader.Read("margin", attack.margin);
  reader.Read("position_deletion_margins", attack.position_deletion_margins);
  reader.ReadInt("restarts", attack.restarts);
  reader.Read("step_size", attack.step_size);
  reader.ReadInt("steps", attack.steps);
  reader.Read("unit_deletion_margins", attack.unit_deletion_margins);
  RETURN_IF_ERROR(reader.status());
  return attack;
}

json ToJson(const CertifiedAttack& attack) {
  json object = json::object();
  object["margin"] = NumberText(attack.margin);
  object["position_deletion_margins"] =
      NumberTexts(attack.position_deletion_margins);
  object["restarts"] = attack.restarts;
  object["step_size"] = NumberText(attack.step_size);
  object["steps"] = attack.steps;
  object["unit_deletion_margins"] = NumberTexts(attack.unit_deletion_margins);
  return object;
}

json ToJson(const Certificate& c) {
  json object = json::object();
  object["algorithm_revision"] = c.algorithm_revision;
  if (c.attack.has_value()) object["attack"] = ToJson(*c.attack);
  object["config_json"] = c.config_json;
  object["contrast_threshold"] = NumberText(c.contrast_threshold);
  object["controls"] = c.controls;
  object["decision_digest"] = c.decision_digest;
  if (OfDecomposition(c)) {
    object["decomposition_digest"] = c.decomposition_digest;
  }
  object["device"] = c.device;
  object["dtype"] = c.dtype;
  object["margin"] = NumberText(c.margin);
  object["margin_empty"] = NumberText(c.margin_empty);
  object["margin_full"] = NumberText(c.margin_full);
  object["mode"] = c.mode == Mode::kGrounded ? "GROUNDED" : "SUFFICIENT";
  object["model_digest"] = c.model_digest;
  object["num_borderline"] = c.num_borderline;
  object["num_units"] = c.num_units;
  object["pin_first"] = c.pin_first ? 1 : 0;
  object["position_deletion_margins"] =
      NumberTexts(c.position_deletion_margins);
  object["position_deletion_precisions"] =
      NumberTexts(c.position_deletion_precisions);
  object["position_mode"] = c.position_mode == models::PositionMode::kReindex
                                ? "reindex"
                                : "keep_ids";
  object["positions"] = c.positions;
  object["precision_threshold"] = NumberText(c.precision_threshold);
  object["reference"] =
      c.reference == models::ReferenceKind::kMean ? "mean" : "zero";
  object["reference_digest"] = c.reference_digest;
  object["replacements"] = c.replacements;
  object["required_margin"] = NumberText(c.required_margin);
  object["rounds"] = c.rounds;
  object["rows"] = c.rows;
  object["seed"] = base::Cat(c.seed);
  object["target"] = c.target;
  object["tau"] = NumberText(c.tau);
  object["tau_acc"] = NumberText(c.tau_acc);
  object["tokens"] = c.tokens;
  object["unit_deletion_contrasts"] = NumberTexts(c.unit_deletion_contrasts);
  object["unit_deletion_margins"] = NumberTexts(c.unit_deletion_margins);
  object["unit_names"] = c.unit_names;
  object["unit_numbering"] = c.unit_numbering;
  object["unit_scheme"] = std::string(models::UnitSchemeName(c.scheme));
  object["units"] = c.units;
  object["weights_digest"] = c.weights_digest;
  return object;
}

json Parse(std::string_view text) {
  return json::parse(text.begin(), text.end(), nullptr, false);
}

}  // namespace

std::string CertificateToJson(const Certificate& certificate) {
  json object = ToJson(certificate);
  object["digest"] = models::Sha256Hex(Canonical(object));
  return Canonical(object);
}

std::string CertificateDigest(std::string_view text) {
  const json object = Parse(text);
  if (!object.is_object()) return {};
  const auto found = object.find("digest");
  if (found == object.end() || !found->is_string()) return {};
  return found->get<std::string>();
}

std::string ComputedCertificateDigest(std::string_view text) {
  json object = Parse(text);
  if (!object.is_object()) return {};
  object.erase("digest");
  return models::Sha256Hex(Canonical(object));
}

absl::StatusOr<Certificate> CertificateFromJson(std::string_view text) {
  const json object = Parse(text);
  if (!object.is_object()) {
    return base::InvalidArgument("BAD_CERTIFICATE", "certificate",
                                 "the certificate is not a JSON object");
  }
  Certificate c;
  Reader reader(object);
  std::string digest;
  int pin_first = 0;
  reader.ReadInt("algorithm_revision", c.algorithm_revision);
  reader.Read("config_json", c.config_json);
  reader.Read("contrast_threshold", c.contrast_threshold);
  reader.Read("controls", c.controls);
  reader.Read("decision_digest", c.decision_digest);
  reader.Read("device", c.device);
  reader.Read("digest", digest);
  reader.Read("dtype", c.dtype);
  reader.Read("margin", c.margin);
  reader.Read("margin_empty", c.margin_empty);
  reader.Read("margin_full", c.margin_full);
  reader.Read("model_digest", c.model_digest);
  reader.ReadInt("num_borderline", c.num_borderline);
  reader.ReadInt("num_units", c.num_units);
  reader.ReadInt("pin_first", pin_first);
  reader.Read("position_deletion_margins", c.position_deletion_margins);
  reader.Read("position_deletion_precisions", c.position_deletion_precisions);
  reader.Read("positions", c.positions);
  reader.Read("precision_threshold", c.precision_threshold);
  reader.Read("reference_digest", c.reference_digest);
  reader.Read("replacements", c.replacements);
  reader.Read("required_margin", c.required_margin);
  reader.ReadInt("rounds", c.rounds);
  reader.ReadInt("rows", c.rows);
  reader.ReadInt("target", c.target);
  reader.Read("tau", c.tau);
  reader.Read("tau_acc", c.tau_acc);
  reader.Read("tokens", c.tokens);
  reader.Read("unit_deletion_contrasts", c.unit_deletion_contrasts);
  reader.Read("unit_deletion_margins", c.unit_deletion_margins);
  reader.Read("unit_names", c.unit_names);
  reader.ReadInt("unit_numbering", c.unit_numbering);
  reader.Read("units", c.units);
  reader.Read("weights_digest", c.weights_digest);
  if (pin_first != 0 && pin_first != 1)
    reader.Fail("pin_first", "must be 0 or 1");
  if (reader.status().ok() && c.tokens.empty()) {
    reader.Fail("tokens", "must not be empty");
  }
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(ReadEnums(reader, c));
  if (OfDecomposition(c)) {
    reader.Read("decomposition_digest", c.decomposition_digest);
    RETURN_IF_ERROR(reader.status());
  }
  const auto attack = object.find("attack");
  if (attack != object.end()) {
    ASSIGN_OR_RETURN(c.attack, ReadAttack(*attack));
  }
  c.pin_first = pin_first == 1;
  return c;
}

}  // namespace spar::search
