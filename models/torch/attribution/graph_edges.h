// L1t. All direct-effect edges of one run, in closed form.
//
// Every node stops the gradient, so a path between two nodes crosses one norm,
// one attention layer or one set of neurons, and its derivative can be written
// down (search.md section 5). One pass, one product per target site and
// position; no backward pass.
#pragma once

#include "absl/status/status.h"

#include "models/torch/attribution/incoming.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// Streams the edges of `nodes` at `trace` into `sink`, site by site in the
// order of computation, sites that read one norm together. A graph has either
// the sites of matrices, all of them in every layer, or those of heads and
// neurons. Throws c10::Error: call inside CatchTorch.
absl::Status GraphEdges(const Trace& trace,
                        const NodeTable& nodes,
                        NormGradient norm,
                        IncomingSink& sink,
                        IdentityChecks& identities);

// Bytes that GraphEdges holds at its peak, the trace not counted.
int64_t GraphBytes(const DecoderSpec& spec,
                   const NodeTable& nodes,
                   at::ScalarType dtype);

// Bytes of a trace of `tokens`, with `components` subcomponents in all.
int64_t TraceBytes(const DecoderSpec& spec,
                   int64_t tokens,
                   int64_t components,
                   at::ScalarType dtype);

}  // namespace spar::models
