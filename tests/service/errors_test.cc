#include "server/service/errors.h"

#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/service/rich_error.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

TEST(ToGrpc, LeavesOkWithoutDetails) {
  const grpc::Status status = ToGrpc(absl::OkStatus());
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.error_details(), "");
}

TEST(ToGrpc, TellsTheFieldOfABadArgument) {
  const grpc::Status status = ToGrpc(base::InvalidArgument(
      "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[3]", "token 99: want [0, 24)",
      {{"token", "99"}, {"vocab_size", "24"}}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "token 99: want [0, 24)");
  const RichError error = Decode(status);
  EXPECT_EQ(error.code, 3);
  EXPECT_EQ(error.message, "token 99: want [0, 24)");
  EXPECT_EQ(error.reason, "TOKEN_OUT_OF_RANGE");
  EXPECT_EQ(error.domain, "spar.dev");
  EXPECT_EQ(error.metadata.at("token"), "99");
  EXPECT_EQ(error.metadata.at("vocab_size"), "24");
  EXPECT_EQ(error.field, "prompt.tokens.ids[3]");
  EXPECT_EQ(error.description, "token 99: want [0, 24)");
  EXPECT_EQ(error.num_details, 2);
}

TEST(ToGrpc, TellsWhenToTryAgain) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kUnavailable, absl::StatusCode::kResourceExhausted}) {
    const RichError error = Decode(ToGrpc(absl::Status(code, "later")));
    EXPECT_GT(error.retry_seconds, 0);
  }
  EXPECT_EQ(Decode(ToGrpc(absl::InternalError("never"))).retry_seconds, -1);
}

TEST(ToGrpc, NamesTheModelThatIsNotThere) {
  const RichError error = Decode(ToGrpc(base::Error(
      absl::StatusCode::kNotFound, "no",
      {.reason = "MODEL_NOT_FOUND", .metadata = {{"model", "models/none"}}})));
  EXPECT_EQ(error.resource, "models/none");
}

TEST(ToGrpc, GivesEveryErrorAReason) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status =
        ToGrpc(absl::Status(static_cast<absl::StatusCode>(code), "why"));
    EXPECT_EQ(status.error_code(), code);
    const RichError error = Decode(status);
    EXPECT_EQ(error.code, code);
    EXPECT_NE(error.reason, "");
    EXPECT_EQ(error.domain, "spar.dev");
  }
}

TEST(ToGrpc, FitsInTrailersWhateverTheErrorHolds) {
  base::ErrorDetail detail{.reason = "UNENCODABLE_TEXT",
                           .field = std::string(100'000, 'f')};
  for (int i = 0; i < 100; ++i) {
    detail.metadata[base::Cat("key", i)] = std::string(100'000, '\xFF');
  }
  const grpc::Status status =
      ToGrpc(base::Error(absl::StatusCode::kInvalidArgument,
                         std::string(100'000, '\xE9'), detail));
  // HTTP/2 carries the message with three bytes for one and the details in
  // base64 at worst; clients accept 8 KiB of trailers.
  EXPECT_LT(
      3 * status.error_message().size() + status.error_details().size() * 4 / 3,
      8192u - 256u);
  EXPECT_EQ(Decode(status).reason, "UNENCODABLE_TEXT");
}

}  // namespace
}  // namespace spar::service
