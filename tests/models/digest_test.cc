#include "models/digest.h"

#include <string>

#include "gtest/gtest.h"

namespace spar::models {
namespace {

// The vectors of FIPS 180-4.
TEST(Sha256, MatchesThePublishedVectors) {
  EXPECT_EQ(Sha256Hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  const std::string text(100'000, 'x');
  Sha256 sha;
  sha.Update(std::string_view(text).substr(0, 7));
  sha.Update(std::string_view(text).substr(7, 60'000));
  sha.Update(std::string_view(text).substr(60'007));
  EXPECT_EQ(sha.HexDigest(), Sha256Hex(text));
}

}  // namespace
}  // namespace spar::models
