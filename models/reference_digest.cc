#include "models/reference_digest.h"

#include "base/status.h"
#include "models/digest.h"

namespace spar::models {

std::string ReferenceDigestOf(ReferenceKind kind,
                              std::span<const std::vector<TokenId>> prompts) {
  if (kind == ReferenceKind::kZero) return Sha256Hex("zero");
  Sha256 digest;
  digest.Update("mean[");
  for (size_t i = 0; i < prompts.size(); ++i) {
    digest.Update(i == 0 ? "[" : ",[");
    for (size_t j = 0; j < prompts[i].size(); ++j) {
      digest.Update(base::Cat(j == 0 ? "" : ",", prompts[i][j]));
    }
    digest.Update("]");
  }
  digest.Update("]");
  return digest.HexDigest();
}

}  // namespace spar::models
