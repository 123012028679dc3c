#include "server/listen_address.h"

#include <charconv>

#include "base/status.h"

namespace spar {
namespace {

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  if (host.substr(0, 4) != "127.") return false;
  // A name such as 127.example.org is none.
  return host.find_first_not_of("0123456789.") == host.npos;
}

}  // namespace

std::string ListenAddress::ToString() const {
  if (host.find(':') != host.npos) return base::Cat("[", host, "]:", port);
  return base::Cat(host, ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text,
                                                 std::string_view setting) {
  const auto bad = [&] {
    return base::InvalidArgument(
        "BAD_ADDRESS", "",
        base::Cat(setting, " is '", text,
                  "': want HOST:PORT with a port of 0 to 65535"),
        {{"value", std::string(text)}});
  };
  const size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return bad();
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool has_colon = host.find(':') != host.npos;
  if (host.empty() || has_colon != bracketed) return bad();

  ListenAddress address;
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, address.port);
  if (error != std::errc() || rest != end || address.port < 0 ||
      address.port > 65535) {
    return bad();
  }
  address.host = host;
  address.loopback = IsLoopback(host);
  return address;
}

}  // namespace spar
