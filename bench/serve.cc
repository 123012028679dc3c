// What serving costs: a search over gRPC against the same search in process,
// and sixteen clients at once against one after another.
#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/create_channel.h>

#include "base/status.h"
#include "bench/bench_report.h"
#include "server/model_loader.h"
#include "server/service/from_proto.h"
#include "server/service/server.h"
#include "spar/v1/explanation_service.grpc.pb.h"

namespace spar::bench {
namespace {

constexpr int kClients = 16;

// Of the six kinds of queries that the demo model answers.
constexpr const char* kPrompts[kClients] = {
    "the horse is no longer dark . it is bright . the blue ancient man is "
    "afraid",
    "the favourite instrument of otto is the piano . since school yuri has "
    "been a",
    "the favourite instrument of peter is the clarinet . everybody thinks that "
    "the lamp is bad . it is",
    "the daughter slept beside the man near the queen near the letter and lost",
    "gab coat shoe zek vab golp fux lamp folp again gab coat",
    "the road from paris to rome is long . neither the strange princess",
    "oslo is the capital of norway . the capital of japan is",
    "nobody thinks that the door is open . it is",
    "since monday the keys , near the white house behind the tower opposite "
    "the queen ,",
    "the code of river is zab . the code of bek is golp . the code of river is",
    "( bek [ dov { zab } vek ;",
    "the door is no longer open . it is",
    "the capital of norway is",
    "the code of bek is golp . the code of bek is",
    "the keys near the tower",
    "the man near the letter slept and lost",
};

struct Bench {
  service::ModelRegistry registry;
  std::unique_ptr<service::Server> server;
  search::Explainer* explainer = nullptr;
  std::unique_ptr<v1::ExplanationService::Stub> stub;
};

v1::CrystallizeRequest RequestOf(int prompt) {
  v1::CrystallizeRequest request;
  request.set_model("models/demo");
  request.mutable_prompt()->set_text(kPrompts[prompt]);
  request.mutable_options()->set_mode(v1::MODE_SUFFICIENT);
  return request;
}

// The search's own rows, so that both ways are seen to do the same work.
int64_t OverGrpc(const Bench& bench, const v1::CrystallizeRequest& request) {
  grpc::ClientContext context;
  auto reader = bench.stub->Crystallize(&context, request);
  v1::CrystallizeResponse response;
  int64_t rows = 0;
  while (reader->Read(&response)) {
    if (response.has_explanation()) {
      rows = response.explanation().effort().row_count();
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) Say(base::Cat("failed: ", status.error_message()));
  return rows;
}

int64_t InProcess(const Bench& bench, const v1::CrystallizeRequest& request) {
  const auto model = bench.registry.Find(request.model(), "model");
  auto question = service::QuestionFromProto(request, **model);
  std::promise<int64_t> rows;
  const auto started = bench.explainer->Start(
      *std::move(question), [](const search::Event&) {},
      [&rows](absl::StatusOr<search::Explanation> result) {
        rows.set_value(result.ok() ? result->effort.rows : 0);
      });
  if (!started.ok()) Say(base::MessageOf(started.status()));
  return started.ok() ? rows.get_future().get() : 0;
}

// In per cent. Both ways in turn, so that both see the machine's moods; the
// median of each prompt, summed.
void MeasureOverhead(const Bench& bench, int prompts, int repeats) {
  double grpc_seconds = 0;
  double process_seconds = 0;
  for (int p = 0; p < prompts; ++p) {
    const v1::CrystallizeRequest request = RequestOf(p);
    std::vector<double> grpc_times;
    std::vector<double> process_times;
    int64_t grpc_rows = 0;
    int64_t process_rows = 0;
    for (int r = 0; r < repeats; ++r) {
      grpc_times.push_back(
          Seconds([&] { grpc_rows = OverGrpc(bench, request); }));
      process_times.push_back(
          Seconds([&] { process_rows = InProcess(bench, request); }));
    }
    if (grpc_rows != process_rows) {
      Say(base::Cat("prompt ", p, ": ", grpc_rows, " rows over gRPC, ",
                    process_rows, " in process"));
    }
    grpc_seconds += Median(grpc_times);
    process_seconds += Median(process_times);
  }
  Report("serve.search_in_process", process_seconds / prompts, "s");
  Report("serve.search_over_grpc", grpc_seconds / prompts, "s");
  Report("serve.overhead", 100 * (grpc_seconds / process_seconds - 1), "%");
}

double RowsPerBatch(const search::BatchCounters& from,
                    const search::BatchCounters& to) {
  return static_cast<double>(to.rows - from.rows) /
         static_cast<double>(std::max<int64_t>(1, to.batches - from.batches));
}

double OneAfterAnother(const Bench& bench) {
  return Seconds([&] {
    for (int c = 0; c < kClients; ++c) OverGrpc(bench, RequestOf(c));
  });
}

double AllAtOnce(const Bench& bench) {
  return Seconds([&] {
    std::vector<std::thread> clients;
    for (int c = 0; c < kClients; ++c) {
      clients.emplace_back([&bench, c] { OverGrpc(bench, RequestOf(c)); });
    }
    for (std::thread& client : clients) client.join();
  });
}

// What a batch and each row of it cost: how much larger batches can gain.
void ReportCosts(const Bench& bench) {
  const models::Calibration& cost = bench.explainer->calibration();
  Report("serve.batch_cost", 1e3 * cost.t0_seconds, "ms");
  Report("serve.row_cost", 1e3 * cost.t1_seconds, "ms");
}

void MeasureConcurrency(const Bench& bench, int repeats) {
  std::vector<double> alone;
  std::vector<double> together;
  double alone_rows = 0;
  double together_rows = 0;
  for (int r = 0; r < repeats; ++r) {
    const search::BatchCounters before = bench.explainer->batch_counters();
    alone.push_back(OneAfterAnother(bench));
    const search::BatchCounters between = bench.explainer->batch_counters();
    together.push_back(AllAtOnce(bench));
    const search::BatchCounters after = bench.explainer->batch_counters();
    alone_rows = RowsPerBatch(before, between);
    together_rows = RowsPerBatch(between, after);
    Say(base::Cat("flushed while together: full ",
                  after.flushed_full - between.flushed_full, ", window ",
                  after.flushed_window - between.flushed_window, ", idle ",
                  after.flushed_idle - between.flushed_idle));
  }
  Report("serve.sequential", kClients / Median(alone), "searches/s");
  Report("serve.concurrent", kClients / Median(together), "searches/s");
  Report("serve.rows_per_batch_sequential", alone_rows, "rows");
  Report("serve.rows_per_batch_concurrent", together_rows, "rows");
  Report("serve.concurrency_gain", Median(alone) / Median(together), "x");
}

absl::Status Prepare(const BenchOptions& options, Bench* bench) {
  ServeCommand command;
  command.models = {{.id = "demo", .folder = SPAR_DEMO_MODEL}};
  command.backend.threads = options.threads;
  RETURN_IF_ERROR(LoadModels(command, &bench->registry));
  ASSIGN_OR_RETURN(const service::ServedModel* model,
                   bench->registry.Find("models/demo", "model"));
  bench->explainer = model->explainer.get();
  service::ServerOptions server_options;
  server_options.listen = "127.0.0.1:0";
  ASSIGN_OR_RETURN(bench->server,
                   service::Server::Start(&bench->registry, server_options));
  bench->stub = v1::ExplanationService::NewStub(
      grpc::CreateChannel(base::Cat("127.0.0.1:", bench->server->port()),
                          grpc::InsecureChannelCredentials()));
  OverGrpc(*bench, RequestOf(0));  // warm
  return absl::OkStatus();
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  using namespace spar::bench;
  const BenchOptions options = ParseBenchOptions(argc, argv);
  Bench bench;
  const absl::Status status = Prepare(options, &bench);
  if (!status.ok()) {
    Say(spar::base::MessageOf(status));
    return 1;
  }
  ReportCosts(bench);
  MeasureOverhead(bench, options.quick ? 4 : kClients, options.quick ? 3 : 9);
  MeasureConcurrency(bench, options.quick ? 1 : 5);
  return 0;
}
