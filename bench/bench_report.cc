#include "bench/bench_report.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace spar::bench {

BenchOptions ParseBenchOptions(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--quick") {
      options.quick = true;
      continue;
    }
    if (flag == "--threads" && i + 1 < argc) {
      const std::string_view number = argv[++i];
      const char* const end = number.data() + number.size();
      const auto [parsed, error] =
          std::from_chars(number.data(), end, options.threads);
      if (error == std::errc() && parsed == end && options.threads >= 0) {
        continue;
      }
    }
    std::fprintf(stderr, "usage: %s [--quick] [--threads N]\n", argv[0]);
    std::exit(2);
  }
  return options;
}

void Report(std::string_view name, double value, std::string_view unit) {
  std::printf("bench %.*s %.4g %.*s\n", static_cast<int>(name.size()),
              name.data(), value, static_cast<int>(unit.size()), unit.data());
  std::fflush(stdout);
}

void Say(std::string_view text) {
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return took.count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

}  // namespace spar::bench
