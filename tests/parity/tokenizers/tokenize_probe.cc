// Test tool: runs a folder's tokenizer over strings, for comparison with
// Hugging Face's library.
//
//   spar_tokenize_probe FOLDER STRINGS RESULTS
//
// STRINGS holds strings, each as its length (32 bits, little-endian) and bytes.
// RESULTS gets for each: the ids, the ids without special tokens of either kind
// (both as a count and 32-bit numbers, or -1 and an error as a string), and the
// decoded ids with special tokens and without (both as strings).
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "base/status.h"
#include "models/text/tokenizer.h"

namespace {

using spar::models::EncodeOptions;
using spar::models::TokenId;
using spar::models::Tokenizer;

void PutNumber(int32_t number, std::string* out) {
  char bytes[sizeof(number)] = {};
  std::memcpy(bytes, &number, sizeof(number));
  out->append(bytes, sizeof(number));
}

void PutString(std::string_view text, std::string* out) {
  PutNumber(static_cast<int32_t>(text.size()), out);
  *out += text;
}

std::vector<TokenId> PutIds(const Tokenizer& tokenizer,
                            std::string_view text,
                            const EncodeOptions& options,
                            std::string* out) {
  const auto ids = tokenizer.Encode(text, options);
  if (!ids.ok()) {
    PutNumber(-1, out);
    PutString(spar::base::MessageOf(ids.status()), out);
    return {};
  }
  PutNumber(static_cast<int32_t>(ids->size()), out);
  for (const TokenId id : *ids) PutNumber(id, out);
  return *ids;
}

int Run(const std::string& folder,
        const std::string& strings,
        const std::string& results) {
  const auto tokenizer = Tokenizer::Open(folder);
  if (!tokenizer.ok()) {
    std::cerr << spar::base::MessageOf(tokenizer.status()) << "\n";
    return 1;
  }
  std::ifstream in(strings, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  std::string out;
  for (size_t at = 0; at + 4 <= all.size();) {
    uint32_t size = 0;
    std::memcpy(&size, all.data() + at, sizeof(size));
    const std::string_view text =
        std::string_view(all).substr(at + sizeof(size), size);
    at += sizeof(size) + size;
    const auto ids = PutIds(**tokenizer, text, {}, &out);
    PutIds(**tokenizer, text,
           {.parse_special = false, .add_special_tokens = false}, &out);
    PutString((*tokenizer)->Decode(ids, /*skip_special=*/false), &out);
    PutString((*tokenizer)->Decode(ids, /*skip_special=*/true), &out);
  }
  std::ofstream(results, std::ios::binary) << out;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: spar_tokenize_probe FOLDER STRINGS RESULTS\n";
    return 2;
  }
  return Run(argv[1], argv[2], argv[3]);
}
