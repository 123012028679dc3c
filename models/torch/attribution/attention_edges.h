// L1t. Edges through one attention layer into the subcomponents of its output
// matrix: from its queries at the same position, from keys and values at every
// position that the target sees (search.md sections 5.3, 5.4 and 5.7).
//
// With z_t = sum_s A[t,s] v_s and w[s] = V_o,c . v_s of one head:
//   v: G = sum_h A[t,s] V_o,c . U_v,c'
//   B[t,s] = A[t,s] (w[s] - sum_s A[t,s] w[s])      d target / d score
//   q: G = sum_h (R_t^T sum_s B[t,s] k_s scale) . U_q,c'
//   k: G = sum_h B[t,s] scale q_t . (R_s U_k,c')
// w and k_s are taken relative to the most attended key, which changes nothing
// but the rounding: attention may saturate.
#pragma once

#include "absl/status/status.h"

#include "models/torch/attribution/incoming.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// Into `targets`, the o of its layer. Throws c10::Error.
absl::Status AttentionEdges(const Trace& trace,
                            const NodeTable& nodes,
                            const SiteNodes& targets,
                            IncomingSink& sink,
                            IdentityCheck& identity);

}  // namespace spar::models
