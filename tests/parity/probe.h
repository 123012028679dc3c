// What a program that answers a Python test has in common with the others: a
// JSON array of questions on standard input, one of answers on standard output.
#pragma once

#include <iostream>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"

#include "base/status.h"

namespace spar::testing {

// `answer` makes absl::StatusOr<json> of a question; an error is answered with
// {"error": its message}. Returns the exit code.
template <typename Answer>
int AnswerQuestions(const Answer& answer) {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& question : nlohmann::json::parse(std::cin)) {
    auto found = answer(question);
    if (found.ok()) {
      all.push_back(*std::move(found));
    } else {
      const std::string message(base::MessageOf(found.status()));
      all.push_back({{"error", message}});
    }
  }
  std::cout << all << "\n";
  return 0;
}

}  // namespace spar::testing
