#include "models/train/metrics_log.h"

#include <fstream>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr char kTraining[] = "training";

absl::Status CannotWriteMetrics(const fs::path& file) {
  return base::Error(absl::StatusCode::kUnavailable,
                     base::Cat("cannot write ", file.string()),
                     {.reason = "CANNOT_WRITE"});
}

// Whether the line is of a step that is behind the training.
bool IsDone(const std::string& line, int64_t step) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("phase") || !json.contains("step") ||
      !json["step"].is_number_integer()) {
    return false;  // the end of a line that was cut
  }
  if (json["phase"] != kTraining) return step > 0;
  return json["step"].get<int64_t>() <= step;
}

}  // namespace

std::string MetricsLine(const TrainProgress& progress) {
  Json json = {{"phase", progress.warming_up ? "faithfulness" : kTraining},
               {"step", progress.step},
               {"total", progress.total},
               {"lr", progress.rate},
               {"seconds", progress.seconds}};
  for (const TrainTerm& term : progress.terms) {
    json["loss/" + term.name] = term.value;
  }
  if (!progress.modules.empty()) {
    double l0 = 0;
    int alive = 0;
    for (const TrainModule& module : progress.modules) {
      json["l0/" + module.name] = module.l0;
      json["alive/" + module.name] = module.alive;
      l0 += module.l0;
      alive += module.alive;
    }
    json["l0"] = l0;
    json["alive"] = alive;
    json["grad_norm/components"] = progress.components_norm;
    json["grad_norm/ci_fns"] = progress.ci_norm;
  }
  return json.dump();
}

absl::Status MetricsLog::TruncateAfter(int64_t step) const {
  std::vector<std::string> kept;
  std::ifstream old(file_);
  for (std::string line; std::getline(old, line);) {
    if (IsDone(line, step)) kept.push_back(line);
  }
  old.close();
  fs::path part = file_;
  part += ".part";
  std::ofstream file(part, std::ios::binary);
  for (const std::string& line : kept) file << line << "\n";
  file.close();
  std::error_code error;
  if (file) fs::rename(part, file_, error);
  return file && !error ? absl::OkStatus() : CannotWriteMetrics(file_);
}

absl::Status MetricsLog::Append(const TrainProgress& progress) const {
  std::ofstream file(file_, std::ios::binary | std::ios::app);
  file << MetricsLine(progress) << "\n";
  file.close();
  return file ? absl::OkStatus() : CannotWriteMetrics(file_);
}

}  // namespace spar::models
