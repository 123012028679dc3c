#include "base/log.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

namespace spar::base {

void Log(LogLevel level, std::string_view message) {
  constexpr const char* kNames[] = {"INFO", "WARN", "ERROR"};
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const int millis =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                           now.time_since_epoch())
                           .count() %
                       1000);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  char head[64];
  const int head_bytes = std::snprintf(head, sizeof head, "%s.%03dZ %s ", stamp,
                                       millis, kNames[static_cast<int>(level)]);
  std::string line(head, static_cast<size_t>(head_bytes));
  line.append(message);
  line.push_back('\n');
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace spar::base
