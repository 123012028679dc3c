#include "models/digest.h"

#include <openssl/evp.h>

#include "base/status.h"

namespace spar::models {

struct Sha256::State {
  EVP_MD_CTX* context = nullptr;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->context = EVP_MD_CTX_new();
  INVARIANT(state_->context != nullptr);
  INVARIANT(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(state_->context);
}

void Sha256::Update(std::span<const std::byte> bytes) {
  INVARIANT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

void Sha256::Update(std::string_view text) {
  Update(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Sha256::HexDigest() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int num_bytes = 0;
  INVARIANT(EVP_DigestFinal_ex(state_->context, bytes, &num_bytes) == 1);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * num_bytes);
  for (unsigned int i = 0; i < num_bytes; ++i) {
    hex.push_back(kDigits[bytes[i] >> 4]);
    hex.push_back(kDigits[bytes[i] & 15]);
  }
  return hex;
}

std::string Sha256Hex(std::string_view text) {
  Sha256 sha;
  sha.Update(text);
  return sha.HexDigest();
}

}  // namespace spar::models
