// What every bench program shares: its flags, its clock and its output.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace spar::bench {

struct BenchOptions {
  bool quick = false;  // --quick: under 40 s on two cores
  int threads = 0;     // --threads N; 0: the library's own choice
};

// Ends the process with a usage line on an unknown flag.
BenchOptions ParseBenchOptions(int argc, char** argv);

// Prints "bench NAME VALUE UNIT", the line that scripts read.
void Report(std::string_view name, double value, std::string_view unit);

// A line for people.
void Say(std::string_view text);

double Seconds(const std::function<void()>& work);

// Of at least one value.
double Median(std::vector<double> values);

}  // namespace spar::bench
