#include "models/torch/resident_decompositions.h"

#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

ResidentDecomposition Beside(
    const Decoder& decoder,
    std::shared_ptr<const LoadedDecomposition> loaded,
    const std::vector<std::vector<TokenId>>& reference_prompts) {
  ResidentDecomposition resident{.loaded = std::move(loaded)};
  resident.decoder = std::make_unique<DecomposedDecoder>(
      decoder, resident.loaded->modules(), resident.loaded->deltas());
  resident.rows = std::make_unique<ComponentRows>(
      *resident.decoder, resident.loaded->spec(), reference_prompts);
  return resident;
}

}  // namespace

absl::Status ResidentDecompositions::Load(
    std::span<const NamedDecomposition> named,
    const Snapshot& snapshot,
    const Decoder& decoder,
    at::ScalarType dtype,
    const std::vector<std::vector<TokenId>>& reference_prompts) {
  for (const NamedDecomposition& one : named) {
    if (Find(one.name) != nullptr) {
      return base::InvalidArgument(
          "BAD_DECOMPOSITION_NAME", "decompositions",
          base::Cat("two decompositions are named ", one.name));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<LoadedDecomposition> loaded,
                     LoadedDecomposition::Load(one.name, *one.decomposition,
                                               snapshot, decoder, dtype));
    infos_.push_back(loaded->info());
    all_.push_back(Beside(decoder, std::move(loaded), reference_prompts));
  }
  return absl::OkStatus();
}

ResidentDecompositions ResidentDecompositions::Twin(
    const Decoder& decoder,
    const std::vector<std::vector<TokenId>>& reference_prompts) const {
  ResidentDecompositions twin;
  twin.infos_ = infos_;
  for (const ResidentDecomposition& one : all_) {
    twin.all_.push_back(Beside(decoder, one.loaded, reference_prompts));
  }
  return twin;
}

const ResidentDecomposition* ResidentDecompositions::Find(
    std::string_view name) const {
  for (size_t i = 0; i < all_.size(); ++i) {
    if (infos_[i].name == name) return &all_[i];
  }
  return nullptr;
}

}  // namespace spar::models
