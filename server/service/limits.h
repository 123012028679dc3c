// L5. The bounds of the wire: what a request may ask, what an answer may hold.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spar::service {

// gRPC clients receive at most 4 MiB a message unless told otherwise; these
// keep every answer below it.
inline constexpr size_t kMaxTextBytes = 256 * 1024;  // of a request's text
inline constexpr int kMaxTokenizedTokens = 131'072;  // of a Tokenize answer
inline constexpr int kMaxTopK = 100;
inline constexpr int kDefaultTopK = 5;
inline constexpr int kMaxTokenScores = 32'768;  // of a Predict answer
inline constexpr int kMaxNamedUnits = 4'096;    // beyond this, ids alone
inline constexpr size_t kMaxCertificateBytes = 2 * 1024 * 1024;

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1'000;

// Of an Attribute call. The answers about a graph are one message: 16 bytes a
// node, and search::AttributionLimits bounds the nodes.
inline constexpr int kMaxNodeRefs = 16'384;
inline constexpr int kMaxLogitRefs = 1'000;
inline constexpr int kMaxPaths = 1'000;
inline constexpr int kDefaultPaths = 16;
inline constexpr int kMaxNodesPerMessage = 16'384;
inline constexpr int kMaxEdgesPerMessage = 131'072;

// Of DecompositionService. A cell is a subcomponent at a token, an entry one
// that is told: 12 bytes here, at most 13 on the wire.
inline constexpr int64_t kMaxNorms = 786'432;  // of one Get answer
inline constexpr size_t kMaxTrainingBytes = 256 * 1024;
inline constexpr int kMaxImportancePrompts = 1'024;
inline constexpr int64_t kMaxImportanceTokens = 32'768;           // of a call
inline constexpr int64_t kMaxImportanceCells = int64_t{1} << 25;  // of a prompt
inline constexpr int64_t kMaxImportanceEntries = int64_t{1} << 22;  // likewise
inline constexpr int64_t kImportanceStepCells = int64_t{1}
                                                << 23;  // run together
inline constexpr int kMaxEntriesPerMessage = 131'072;
inline constexpr int kMaxLiveImportances = 16;  // calls of the whole server

// Of a Prune call. Nodes of a message take at most 11 bytes each, tokens of the
// header about 16.
inline constexpr int64_t kMaxPruneTokens = 32'768;
inline constexpr int64_t kMaxNodesOfRow = 262'144;
inline constexpr int kSearchesOfPruning = 16;  // at a time
inline constexpr int kMaxLivePrunings = 4;     // calls of the whole server

// Of an Evaluate call.
inline constexpr int kMaxEvaluationPrompts = 4'096;
inline constexpr int64_t kMaxEvaluationTokens = 262'144;
inline constexpr size_t kMaxSubsetNameBytes = 64;
inline constexpr int kMaxComponentsOfMessage = 262'144;
inline constexpr int kMaxLiveEvaluations = 4;  // calls of the whole server

// Of a Train call.
inline constexpr int kMaxLiveTrainings = 1;  // of the whole server
inline constexpr size_t kMaxQueuedTrainMessages = 256;

inline constexpr int64_t kMaxSearchSeconds = 7 * 24 * 3600;

// An error travels in HTTP/2 trailers, of which clients accept 8 KiB in all.
inline constexpr size_t kMaxErrorMessageBytes = 512;
inline constexpr size_t kMaxErrorValueBytes = 128;
inline constexpr int kMaxErrorValues = 8;

// Events that wait for a slow client; see CrystallizeCall.
inline constexpr size_t kMaxQueuedEventBytes = 16 * 1024 * 1024;

}  // namespace spar::service
