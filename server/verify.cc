#include "server/verify.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "server/model_loader.h"
#include "server/search/certificate.h"

namespace spar {
namespace {

constexpr int kHolds = 0;
constexpr int kDoesNotHold = 1;
constexpr int kUnreadable = 2;

std::string ReadAll(std::istream& input) {
  return std::string(std::istreambuf_iterator<char>(input),
                     std::istreambuf_iterator<char>());
}

// The file's text without the line end that editors and shells add.
absl::StatusOr<std::string> ReadCertificate(const std::filesystem::path& path) {
  std::string text;
  if (path == "-") {
    text = ReadAll(std::cin);
  } else {
    std::ifstream file(path, std::ios::binary);
    if (file) text = ReadAll(file);
    if (!file) {
      return absl::NotFoundError(
          base::Cat("cannot read the certificate ", path.string()));
    }
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  return text;
}

absl::StatusOr<search::Verification> Check(const VerifyCommand& command) {
  ASSIGN_OR_RETURN(const std::string json,
                   ReadCertificate(command.certificate));
  ASSIGN_OR_RETURN(const LoadedModel model,
                   LoadModel(command.model, command.backend));
  return search::CheckCertificate(json, *model.backends.front());
}

}  // namespace

int Verify(const VerifyCommand& command) {
  const absl::StatusOr<search::Verification> result = Check(command);
  if (!result.ok()) {
    base::LogError(base::MessageOf(result.status()));
    return kUnreadable;
  }
  const bool holds = result->verdict != search::CertificateVerdict::kInvalid;
  const bool borderline =
      result->verdict == search::CertificateVerdict::kValidWithBorderline;
  std::printf("%s\n", !holds       ? "invalid"
                      : borderline ? "valid, with borderline margins"
                                   : "valid");
  for (const std::string& finding : result->findings) {
    std::printf("  %s\n", finding.c_str());
  }
  std::printf("margin %.9g, largest difference %.3g, %lld rows\n",
              result->margin, result->largest_difference,
              static_cast<long long>(result->rows));
  return holds ? kHolds : kDoesNotHold;
}

}  // namespace spar
