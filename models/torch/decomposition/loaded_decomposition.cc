#include "models/torch/decomposition/loaded_decomposition.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/snapshot/bad_model.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/device.h"
#include "models/torch/errors.h"
#include "models/torch/weights.h"

namespace spar::models {
namespace {

using base::Cat;

// Relative; float32 leaves about 1e-6, numbers that cancel much more.
constexpr double kMaxIdentityError = 1e-2;
constexpr int kProbeTokens = 16;

int64_t CountNumbers(const DecompositionSpec& spec) {
  int64_t numbers = 0;
  for (const auto& [name, shape] : DecompositionTensors(spec)) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    numbers += count;
  }
  return numbers;
}

int64_t CountDelta(const DecompositionSpec& spec) {
  int64_t numbers = 0;
  for (const DecomposedModule& module : spec.modules) {
    numbers += int64_t{module.d_in} * module.d_out;
  }
  return numbers;
}

int64_t MemoryBytes(const DecompositionSpec& spec, at::ScalarType dtype) {
  return CountNumbers(spec) * static_cast<int64_t>(c10::elementSize(dtype)) +
         CountDelta(spec) * int64_t{sizeof(float)};
}

absl::Status CheckFits(const Decoder& decoder, int64_t bytes) {
  if (!decoder.device.is_cpu()) return absl::OkStatus();  // its allocator says
  const int64_t available = AvailableHostBytes();
  if (bytes <= available) return absl::OkStatus();
  return base::Error(absl::StatusCode::kResourceExhausted,
                     Cat("the decomposition needs ", bytes, " bytes; ",
                         available, " are available"),
                     {.reason = "MODEL_TOO_LARGE",
                      .metadata = {{"bytes", Cat(bytes)},
                                   {"available_bytes", Cat(available)}}});
}

// W of a module, [d_out, d_in], float32 on the device.
at::Tensor TargetWeight(const Snapshot& snapshot,
                        const Decoder& decoder,
                        const DecomposedModule& module) {
  const Affine whole = WholeWeight(snapshot.spec(), module);
  return LoadWeight(snapshot, whole.weight, at::kFloat).to(decoder.device);
}

// The columns of a [n, vocab] matrix that tokens name, as rows: [tokens, n].
at::Tensor TokenColumns(const at::Tensor& matrix, const at::Tensor& tokens) {
  return Widened(matrix.t().index_select(0, tokens));
}

double Norm(const at::Tensor& x) {
  return at::linalg_vector_norm(x).item<double>();
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoadedDecomposition>> LoadedDecomposition::Load(
    const std::string& name,
    const Decomposition& decomposition,
    const Snapshot& snapshot,
    const Decoder& decoder,
    at::ScalarType dtype) {
  auto loaded = std::make_unique<LoadedDecomposition>();
  DecompositionInfo& info = loaded->info_;
  info.name = name;
  info.digest = decomposition.digest();
  info.spec = decomposition.spec();
  info.dtype = dtype == at::kFloat ? "float32" : "bfloat16";
  info.memory_bytes = MemoryBytes(info.spec, dtype);
  RETURN_IF_ERROR(CheckFits(decoder, info.memory_bytes));
  RETURN_IF_ERROR(CatchTorch(Cat("loading decomposition ", name), [&] {
    const c10::AutoGradMode no_gradients(false);
    const StoredTensors tensors(decomposition, decoder.device, dtype);
    loaded->LoadModules(tensors, snapshot, decoder);
    loaded->ci_ = LoadCiFunction(tensors);
    return loaded->CheckIdentity(decomposition.folder(), snapshot, decoder);
  }));
  return loaded;
}

void LoadedDecomposition::LoadModules(const StoredTensors& tensors,
                                      const Snapshot& snapshot,
                                      const Decoder& decoder) {
  const std::vector<DecomposedModule>& modules = info_.spec.modules;
  std::vector<at::Tensor> v;
  for (const DecomposedModule& module : modules) {
    v.push_back(tensors.Matrix(VName(module)));
    if (module.site == ModuleSite::kEmbedding) {
      v.back() = v.back().t().contiguous().t();  // one token's in one place
    }
  }
  const bool embedding = modules[0].site == ModuleSite::kEmbedding;
  const at::Tensor embedding_v = embedding ? v[0] : at::Tensor();
  activations_ = StreamMaps(modules, std::move(v),
                            std::vector<at::Tensor>(modules.size()));
  for (size_t m = 0; m < modules.size(); ++m) {
    ComponentModule factors;
    factors.module = modules[m];
    factors.v = modules[m].site == ModuleSite::kEmbedding
                    ? embedding_v
                    : activations_.weight(m);
    factors.u = tensors.Matrix(UName(modules[m]));
    const at::Tensor weight = TargetWeight(snapshot, decoder, modules[m]);
    deltas_.push_back(
        at::addmm(weight, Widened(factors.u).t(), Widened(factors.v), 1, -1));
    Measure(weight, factors, deltas_.back());
    modules_.push_back(std::move(factors));
  }
}

void LoadedDecomposition::Measure(const at::Tensor& weight,
                                  const ComponentModule& factors,
                                  const at::Tensor& delta) {
  ModuleMeasures measures;
  measures.weight_norm = Norm(weight);
  measures.delta_norm = Norm(delta);
  const at::Tensor norms = (at::linalg_vector_norm(Widened(factors.u), 2, 1) *
                            at::linalg_vector_norm(Widened(factors.v), 2, 1))
                               .cpu()
                               .contiguous();
  const float* const values = norms.const_data_ptr<float>();
  measures.component_norms.assign(values, values + norms.numel());
  info_.modules.push_back(std::move(measures));
}

absl::Status LoadedDecomposition::CheckIdentity(
    const std::filesystem::path& folder,
    const Snapshot& snapshot,
    const Decoder& decoder) {
  const int length = std::min(kProbeTokens, decoder.spec.context_length);
  std::vector<TokenId> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back((i * 7919 + 1) % decoder.spec.vocab_size);
  }
  SequenceBatch batch(decoder, {WholeSequence(tokens)});
  const ModuleInputs inputs = CaptureInputs(decoder, batch, info_.spec.modules);
  const std::vector<at::Tensor> activations = Activations(inputs);
  for (size_t m = 0; m < modules_.size(); ++m) {
    const ComponentModule& loaded = modules_[m];
    const at::Tensor weight = TargetWeight(snapshot, decoder, loaded.module);
    const at::Tensor& x = inputs.Of(loaded.module);
    const bool tokens_in = loaded.module.site == ModuleSite::kEmbedding;
    const at::Tensor want =
        tokens_in ? TokenColumns(weight, x) : x.mm(weight.t());
    const at::Tensor rest =
        tokens_in ? TokenColumns(deltas_[m], x) : x.mm(deltas_[m].t());
    const at::Tensor got = at::addmm(rest, activations[m], Widened(loaded.u));
    const double scale = want.abs().max().item<double>();
    const double worst = (got - want).abs().max().item<double>();
    const double error = worst / std::max(scale, 1e-30);
    if (!(error <= kMaxIdentityError)) {  // NaN too
      return BadModel(
          folder,
          Cat("module ", Quoted(loaded.module.name), " with all masks and ",
              "Delta at 1 differs from the target's by ", error,
              " of its largest output, at most ", kMaxIdentityError),
          {{"module", loaded.module.name},
           {"error", Cat(error)},
           {"limit", Cat(kMaxIdentityError)}});
    }
    info_.identity_error = std::max(info_.identity_error, error);
  }
  return absl::OkStatus();
}

std::vector<at::Tensor> LoadedDecomposition::Activations(
    const ModuleInputs& inputs) const {
  std::vector<at::Tensor> activations = activations_(inputs);
  for (size_t m = 0; m < modules_.size(); ++m) {
    const ComponentModule& loaded = modules_[m];
    if (loaded.module.site == ModuleSite::kEmbedding) {
      activations[m] = TokenColumns(loaded.v, inputs.Of(loaded.module));
    }
  }
  return activations;
}

std::vector<at::Tensor> LoadedDecomposition::Logits(
    const ModuleInputs& inputs,
    const std::vector<at::Tensor>& activations) const {
  return ci_->Logits(inputs, activations);
}

std::vector<at::Tensor> LoadedDecomposition::Importances(
    const ModuleInputs& inputs,
    const std::vector<at::Tensor>& activations) const {
  std::vector<at::Tensor> values = Logits(inputs, activations);
  for (at::Tensor& z : values) {
    z = LowerSigmoid(info_.spec.sigmoid, info_.spec.sampling, z);
  }
  return values;
}

}  // namespace spar::models
