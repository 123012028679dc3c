// L1. Causal importances of one sequence as a picture: a row for each
// subcomponent, a column for each position.
#pragma once

#include <string>
#include <vector>

namespace spar::studies {

struct PictureRow {
  std::string module = {};  // rows of one module stand together
  std::string label = {};
  std::vector<float> importances = {};  // by position, in [0, 1]
};

struct ImportancePicture {
  std::vector<std::string> positions = {};  // tokens
  std::vector<PictureRow> rows = {};
};

// An SVG document that stands alone. Labels are escaped.
std::string ToSvg(const ImportancePicture& picture);

}  // namespace spar::studies
