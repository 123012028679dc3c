// L5. The commands of `spar`: each prints its answer and returns an exit code.
#pragma once

#include "client/interrupt.h"
#include "client/session.h"

namespace spar::client {

int RunModels(Session& session);
int RunTokenize(Session& session);
int RunPredict(Session& session);
int RunVerify(Session& session);
int RunWait(Session& session);

// The graph's strongest paths, its exports and its page. `interrupt` cancels
// the work on the server.
int RunAttribute(Session& session, Interrupt& interrupt);

// Saved attribution graphs; none of these asks a server.
int RunGraph(Session& session);
int RunCompare(Session& session);
int RunAggregate(Session& session);

// Events and progress while it searches, then the report; writes the
// certificate. `interrupt` cancels the search on the server.
int RunCrystallize(Session& session, Interrupt& interrupt);

// Progress while it optimises, then a curve for each prompt; writes the whole
// answer and certificates. `interrupt` cancels the pruning on the server.
int RunPrune(Session& session, Interrupt& interrupt);

// Rows as they come; `interrupt` cancels the ablation on the server.
int RunAblate(Session& session, Interrupt& interrupt);

int RunDecompositions(Session& session);

// Prompt by prompt as they come; `interrupt` cancels the work on the server.
int RunImportances(Session& session, Interrupt& interrupt);

// Progress while it runs, then tables; writes the report. `interrupt` cancels
// the evaluation on the server.
int RunEvaluate(Session& session, Interrupt& interrupt);

// Progress while the server trains, then where the decomposition lies.
// `interrupt` ends the training, which leaves a checkpoint.
int RunTrain(Session& session, Interrupt& interrupt);

}  // namespace spar::client
