#include "server/listen_address.h"

#include "gtest/gtest.h"

namespace spar {
namespace {

TEST(ParseListenAddress, ReadsHostAndPort) {
  const auto address = ParseListenAddress("127.0.0.1:7430", "--listen");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_EQ(address->port, 7430);
  EXPECT_EQ(address->ToString(), "127.0.0.1:7430");
  EXPECT_EQ(ParseListenAddress("[::1]:0", "--listen")->host, "::1");
  EXPECT_EQ(ParseListenAddress("[::1]:0", "--listen")->ToString(), "[::1]:0");
}

TEST(ParseListenAddress, KnowsWhatOtherMachinesReach) {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(ParseListenAddress(text, "")->loopback) << text;
  }
  for (const char* text : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example:1",
                           "127.example.org:1", "128.0.0.1:1"}) {
    EXPECT_FALSE(ParseListenAddress(text, "")->loopback) << text;
  }
}

TEST(ParseListenAddress, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "7430", ":7430", "host", "host:", "host:x",
                           "host:-1", "host:65536", "host:1x", "::1:7430",
                           "[]:1", "[host]:1", "host:99999999999"}) {
    EXPECT_FALSE(ParseListenAddress(text, "--listen").ok()) << text;
  }
}

}  // namespace
}  // namespace spar
