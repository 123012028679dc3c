// L3. The certificate as canonical JSON, and its check.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "server/search/explainer.h"
#include "server/search/explanation.h"

namespace spar::search {

// Canonical JSON with its digest: keys sorted, no white space, only objects,
// arrays, strings and integers; real numbers are strings as printed by "%.9g".
// docs/certificate.md lists the fields.
std::string CertificateToJson(const Certificate& certificate);

// kInvalidArgument BAD_CERTIFICATE with the field. A wrong digest is not an
// error here: CheckCertificate finds it.
absl::StatusOr<Certificate> CertificateFromJson(std::string_view json);

// The "digest" that a certificate's JSON states.
std::string CertificateDigest(std::string_view json);

// Blocks: about |S| + |T| rows of Backend::EvaluateExactly, and for GROUNDED
// the samples. A certificate that does not hold is a verdict, not an error.
absl::StatusOr<Verification> CheckCertificate(std::string_view json,
                                              models::Backend& backend);

}  // namespace spar::search
