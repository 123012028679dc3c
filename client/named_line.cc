#include "client/named_line.h"

#include "client/text.h"

#include "base/status.h"

namespace spar::client {

std::string NamedLine(std::string_view name,
                      std::string_view value,
                      const Style& style) {
  return base::Cat(Paint(style, Tone::kDim, Padded(name, kNameColumns)), value,
                   "\n");
}

}  // namespace spar::client
