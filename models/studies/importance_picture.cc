#include "models/studies/importance_picture.h"

#include <algorithm>

#include "absl/strings/str_format.h"

#include "base/svg_chart.h"

namespace spar::studies {
namespace {

constexpr int kCell = 18;
constexpr int kLeft = 170;
constexpr int kTop = 34;
constexpr int kGap = 8;  // between modules

std::string Text(int x, int y, const char* anchor, const std::string& words) {
  return absl::StrFormat(
      "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
      base::EscapedXml(words));
}

}  // namespace

std::string ToSvg(const ImportancePicture& picture) {
  std::string body;
  const int columns = static_cast<int>(picture.positions.size());
  for (int t = 0; t < columns; ++t) {
    body += Text(kLeft + t * kCell + kCell / 2, kTop - 8, "middle",
                 picture.positions[t]);
  }
  int y = kTop;
  std::string module;
  for (const PictureRow& row : picture.rows) {
    if (row.module != module) {
      if (!module.empty()) y += kGap;
      module = row.module;
      body += Text(4, y + kCell - 5, "start", module);
    }
    body += Text(kLeft - 6, y + kCell - 5, "end", row.label);
    for (int t = 0; t < static_cast<int>(row.importances.size()); ++t) {
      const float g = std::clamp(row.importances[t], 0.0F, 1.0F);
      body += absl::StrFormat(
          "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#1f4e8c\" "
          "fill-opacity=\"%.3f\" stroke=\"#d8dce2\"/>\n",
          kLeft + t * kCell, y, kCell, kCell, g);
    }
    y += kCell;
  }
  return absl::StrFormat(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
             "height=\"%d\" font-family=\"sans-serif\" font-size=\"10\" "
             "fill=\"#222\">\n<rect width=\"100%%\" height=\"100%%\" "
             "fill=\"#fff\"/>\n",
             kLeft + columns * kCell + kGap, y + kGap) +
         body + "</svg>\n";
}

}  // namespace spar::studies
