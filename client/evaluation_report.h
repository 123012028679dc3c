// L5. An evaluation as files: a page of Markdown and its charts.
#pragma once

#include <map>
#include <string>

#include "client/evaluation_answer.h"

namespace spar::client {

// Content by file name: "report.md" and the SVG files that it shows.
std::map<std::string, std::string> ReportOf(const EvaluationAnswer& answer);

}  // namespace spar::client
