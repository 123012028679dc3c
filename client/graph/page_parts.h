// L5. The files of client/graph/page as text.
#pragma once

namespace spar::client {

extern const char kPageStyle[];   // page.css
extern const char kPageScript[];  // page.js

}  // namespace spar::client
