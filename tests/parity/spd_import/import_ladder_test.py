"""The import parity ladder: a run as torch computes it, and what the import
made of it as docs/formats.md says, rung by rung, in float64."""

import json

import numpy as np
import pytest
import torch

import runs
from cases import CASES, Case
from imported_model import ImportedModel
from numpy_decomposition import SIGMOIDS, Decomposition
from reference_ci import sigmoids
from spar import checkpoint
from spar.import_spd import import_run

TOLERANCE = 1e-9  # relative to the largest value of its kind
TOKENS = [7, 0, 33, 60, 7, 12, 48, 5, 5]


def close(mine, truth, what, tolerance=TOLERANCE):
    truth = np.asarray(truth)
    assert mine.shape == truth.shape, what
    error = np.abs(mine - truth).max()
    assert error <= tolerance * max(1.0, np.abs(truth).max()), f"{what}: {error}"


class Imported:
    """A case: the run as it stands, and the two folders of its import."""

    def __init__(self, made):
        self.case, self.summary, self.folder = made.case, made.summary, made.folder
        self.model = ImportedModel(self.folder / "model")
        self.decomposition = Decomposition(
            self.folder / "decomposition", self.model.embedding
        )
        self.truth = made.model
        logits, inputs = self.truth.run(torch.tensor([TOKENS]))
        self.true_logits = logits[0].numpy()
        self.true_inputs = {path: x[0].numpy() for path, x in inputs.items()}
        self.true_z = {
            path: z[0].numpy() for path, z in self.truth.ci_logits(inputs).items()
        }
        self.logits, inputs = self.model.run(TOKENS)
        self.inputs = {path: inputs[path] for path in self.decomposition.modules}

    def masked_logits(self, masks, delta):
        def replace(path, x):
            if path not in self.decomposition.modules:
                return None
            return self.decomposition.output(
                path,
                x,
                masks[path],
                delta,
                self.model.weight(path),
                self.model.bias(path),
            )

        return self.model.run(TOKENS, replace)[0]

    def true_masked_logits(self, masks, delta):
        masks = {path: torch.from_numpy(mask)[None] for path, mask in masks.items()}
        return self.truth.run(torch.tensor([TOKENS]), masks, delta)[0][0].numpy()


@pytest.fixture(scope="module", params=list(CASES))
def imported(request, imports):
    return Imported(imports(request.param))


def test_the_last_step_is_imported(imported):
    assert imported.summary.step == 100
    training = imported.decomposition.json["training"]
    assert training["checkpoint"] == "model_100.pth"
    assert training["layout"] == imported.case.layout


def test_modules_and_shapes(imported):
    counts = imported.truth.counts
    assert imported.summary.components == counts
    assert list(imported.decomposition.modules) == list(counts)
    for path, entry in imported.decomposition.modules.items():
        d_out, d_in = imported.model.weight(path).shape
        assert (entry["d_out"], entry["d_in"]) == (d_out, d_in), path
        assert imported.decomposition.v(path).shape == (counts[path], d_in), path
        assert imported.decomposition.u(path).shape == (counts[path], d_out), path


def test_what_the_config_says(imported):
    held, case = imported.decomposition.json, imported.case
    assert held["format"], held["version"] == ("spar-decomposition", 1)
    assert held["ci"]["kind"] == case.ci["fn_type"]
    assert held["sigmoid"] == case.sigmoid
    assert held["sampling"] == case.sampling
    assert held["delta"] == case.delta


def test_the_target_is_the_one_that_the_digest_names(imported):
    model = imported.folder / "model"
    digest = checkpoint.weights_digest(
        checkpoint.read_config(model), checkpoint.read_tensors(model)
    )
    assert imported.decomposition.json["target"] == {"weights_digest": digest}
    assert imported.summary.weights_digest == digest


def test_logits_of_the_target(imported):
    close(imported.logits, imported.true_logits, "logits")


def test_inputs_and_activations(imported):
    for path, x in imported.inputs.items():
        close(x, imported.true_inputs[path], path)
        acts = imported.truth.part(path).activations(
            torch.from_numpy(imported.true_inputs[path])
        )
        mine = imported.decomposition.activations(path, x)
        close(mine, acts.detach().numpy(), path)


def test_ci_logits(imported):
    z = imported.decomposition.logits(imported.inputs)
    assert z.keys() == imported.true_z.keys()
    for path, logits in z.items():
        assert np.abs(logits).max() > 0.1, path
        close(logits, imported.true_z[path], path)


def test_importances(imported):
    kind, shift = imported.case.sigmoid, imported.case.sampling == "binomial"
    for path, z in imported.true_z.items():
        lower, upper = imported.decomposition.importances(z)
        read = 1.05 * z - 0.05 * 0.5 if shift else z
        close(lower, sigmoids(kind, torch.from_numpy(read))[0].numpy(), path)
        close(upper, sigmoids(kind, torch.from_numpy(z))[1].numpy(), path)


def test_every_tensor_of_the_folder_is_used(imported):
    imported.decomposition.logits(imported.inputs)
    for path in imported.decomposition.modules:
        imported.decomposition.v(path), imported.decomposition.u(path)
    assert imported.decomposition.unused() == set()


def test_all_masks_on_with_delta_is_the_target(imported):
    masks = {path: np.ones_like(z) for path, z in imported.true_z.items()}
    close(imported.masked_logits(masks, 1.0), imported.true_logits, "masks 1, Delta 1")


def test_without_delta_it_is_not_the_target(imported):
    masks = {path: np.ones_like(z) for path, z in imported.true_z.items()}
    logits = imported.masked_logits(masks, 0.0)
    assert np.abs(logits - imported.true_logits).max() > 1e-2
    close(logits, imported.true_masked_logits(masks, 0.0), "masks 1, Delta 0")


@pytest.mark.parametrize("masking", ["importances", "rounded", "zero"])
def test_masked_logits(imported, masking):
    masks = {}
    for path, z in imported.true_z.items():
        g = imported.decomposition.importances(z)[0]
        if masking == "rounded":
            g = (g > 0.5).astype(float)
        masks[path] = g * 0 if masking == "zero" else g
    logits = imported.masked_logits(masks, 0.0)
    close(logits, imported.true_masked_logits(masks, 0.0), masking)


def test_the_share_of_delta(imported):
    rest = whole = 0.0
    for path in imported.decomposition.modules:
        weight = imported.model.weight(path)
        made = imported.decomposition.u(path).T @ imported.decomposition.v(path)
        rest += ((weight - made) ** 2).sum()
        whole += (weight**2).sum()
    assert imported.summary.delta_share == pytest.approx(rest / whole, rel=1e-5)


# Hand-computed numbers: neither torch nor the case's own arithmetic.

LOGITS = [-2.0, 0.0, 0.3, 1.0, 1.5]
VECTORS = {
    "leaky_hard": ([0, 0, 0.3, 1, 1], [0, 0, 0.3, 1, 1.005]),
    "hard": ([0, 0, 0.3, 1, 1], [0, 0, 0.3, 1, 1]),
    "upper_leaky_hard": ([0, 0, 0.3, 1, 1.005], [0, 0, 0.3, 1, 1.005]),
}
SWISH = {
    0.0: 4.5398e-05,
    0.25: 0.23145004,
    0.5: 0.5,
    1.0: 0.99995460,
    2.0: 1.00004539,
}


@pytest.mark.parametrize("kind", list(VECTORS))
def test_sigmoids_at_known_points(kind):
    for side, values in zip((0, 1), VECTORS[kind], strict=True):
        assert SIGMOIDS[kind][side](np.array(LOGITS)) == pytest.approx(values)
        truth = sigmoids(kind, torch.tensor(LOGITS, dtype=torch.float64))[side]
        assert truth.numpy() == pytest.approx(values)


def test_swish_hard_at_known_points():
    z = np.array(list(SWISH))
    for held in (SIGMOIDS["swish_hard"][0](z), sigmoids("swish_hard", torch.tensor(z))[0]):
        assert np.asarray(held) == pytest.approx(list(SWISH.values()), abs=1e-8)


def test_orientation_by_hand(tmp_path):
    """One subcomponent of known numbers: V reads, U writes."""
    case = Case(
        "LlamaSimpleMLP", [("h.0.mlp.c_fc", 2)], CASES["mlp_main"].ci
    )
    runs.write(case, tmp_path)
    path = tmp_path / "run" / "model_1000.pth"
    state = torch.load(path, weights_only=True)
    v, u = torch.zeros(16, 2), torch.zeros(2, 20)
    v[3, 1], u[1, 17] = 2.0, 5.0
    state["_components.h-0-mlp-c_fc.V"], state["_components.h-0-mlp-c_fc.U"] = v, u
    torch.save(state, path)
    import_run(tmp_path / "run", tmp_path / "out", target=tmp_path / "target")
    held = Decomposition(tmp_path / "out" / "decomposition", "wte")
    x = np.zeros((1, 16))
    x[0, 3] = 7.0
    assert held.activations("h.0.mlp.c_fc", x).tolist() == [[0.0, 14.0]]
    y = held.output("h.0.mlp.c_fc", x, np.ones(2), 0.0, np.zeros((20, 16)), None)
    assert y[0, 17] == 70.0 and np.count_nonzero(y) == 1


def test_a_wide_global_order_is_by_bytes():
    """h.10 sorts before h.2: the case with many layers tells the orders apart."""
    names = list(runs.chosen_modules(
        runs.make_target(CASES["global_mlp_many_layers"])[0],
        CASES["global_mlp_many_layers"].modules,
    ))
    assert sorted(names) != names
    assert sorted(names).index("h.10.mlp.c_fc") < sorted(names).index("h.2.mlp.c_fc")


def test_the_json_is_valid_json(imported):
    text = (imported.folder / "decomposition" / "decomposition.json").read_text()

    def refuse(name):
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)
