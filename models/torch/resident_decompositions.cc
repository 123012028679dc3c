#include "models/torch/resident_decompositions.h"

#include <utility>

#include "base/status.h"

namespace spar::models {

absl::Status ResidentDecompositions::Load(
    std::span<const NamedDecomposition> named,
    const Snapshot& snapshot,
    const Decoder& decoder,
    at::ScalarType dtype) {
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
    auto decomposed =
        std::make_unique<DecomposedDecoder>(decoder, loaded->modules());
    all_.push_back(
        {.loaded = std::move(loaded), .decoder = std::move(decomposed)});
  }
  return absl::OkStatus();
}

ResidentDecompositions ResidentDecompositions::Twin(
    const Decoder& decoder) const {
  ResidentDecompositions twin;
  twin.infos_ = infos_;
  for (const ResidentDecomposition& one : all_) {
    twin.all_.push_back({.loaded = one.loaded,
                         .decoder = std::make_unique<DecomposedDecoder>(
                             decoder, one.loaded->modules())});
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
