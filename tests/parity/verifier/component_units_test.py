"""The Python verifier's masked decompositions against their definition.

Run as: component_units_test.py

The truth is docs/certificate.md's sum, term by term: for every position its own
matrix or mean, and where all positions share the masks the checkpoint with its
weights recomposed.
"""

import json
import pathlib
import sys

import numpy as np
import pytest
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "client/python")]

import random_decomposition  # noqa: E402
import zoo  # noqa: E402
from spar.decomposition import read_decomposition  # noqa: E402
from spar.exact_units import ComponentUnits, Row  # noqa: E402
from spar.open_model import open_model  # noqa: E402

KIND = {"kind": "global_shared_mlp", "hidden": []}
FAMILIES = tuple(random_decomposition.MODELS)


class Subject:
    def __init__(self, name, root):
        self.folder = zoo.make(name, root)
        weights = random_decomposition.linear_weights(
            self.folder, random_decomposition.MODELS[name]
        )
        self.decomposition_folder = root / f"{name}-decomposition"
        random_decomposition.write_decomposition(
            self.decomposition_folder, self.folder, weights, KIND, "leaky_hard", 7
        )
        self.weights = {n: w.numpy() for n, w in weights.items()}
        self.decomposition = read_decomposition(
            self.decomposition_folder, self.folder
        )
        draw = np.random.default_rng(len(name))
        self.prompts = [
            draw.integers(zoo.VOCAB, size=size).tolist() for size in [4] * 9 + [6]
        ]
        self.tokens = draw.integers(zoo.VOCAB, size=7).tolist()
        self.draw = draw


@pytest.fixture(scope="session", params=FAMILIES)
def subject(request, tmp_path_factory):
    return Subject(request.param, tmp_path_factory.mktemp(request.param))


def _row(tokens, places, units):
    kept = [tokens[place] for place in places]
    return Row(kept, list(places), list(places), units, len(tokens))


def _half(subject, count):
    return np.flatnonzero(subject.draw.random(count) < 0.5).tolist()


def _term_by_term(subject, units, places, means=None):
    """Logits with each watched weight's output summed up from its terms."""
    model = open_model(subject.folder)
    modules = subject.decomposition.modules
    model.watch([module.name for module in modules])
    firsts = np.cumsum([0] + [len(m.v) + 1 for m in modules])
    kept = set(units)

    def linear(name, x, y):
        x, y = x.numpy(), y.numpy()
        number = [m.name for m in modules].index(name)
        module = modules[number]
        u_rows, v_rows = module.u.numpy(), module.v.numpy()
        weight = subject.weights[name]
        result = np.empty_like(y)
        for i, place in enumerate(places):
            one = x[0, i]
            column = np.eye(weight.shape[1])[one] if module.is_embedding else one
            total = y[0, i] - weight @ column  # the bias
            delta = weight - sum(np.outer(u, v) for u, v in zip(u_rows, v_rows))
            first = place * firsts[-1] + firsts[number]
            for c, (u, v) in enumerate(zip(u_rows, v_rows)):
                held = v @ column if first + c in kept else 0.0
                if first + c not in kept and means is not None:
                    held = means[name][place][0][c]
                total = total + held * u
            if first + len(v_rows) in kept:
                total = total + delta @ column
            elif means is not None:
                total = total + means[name][place][1]
            result[0, i] = total
        return torch.from_numpy(result)

    tokens = np.array([[subject.tokens[place] for place in places]])
    return model.run(tokens, np.array([places]), linear=linear)[0]


def _means(subject):
    """By module and position: means of a and of Delta x, prompt by prompt."""
    model = open_model(subject.folder)
    modules = {m.name: m for m in subject.decomposition.modules}
    model.watch(list(modules))
    seen = {name: [] for name in modules}

    def linear(name, x, y):
        module, weight = modules[name], subject.weights[name]
        u_rows, v_rows = module.u.numpy(), module.v.numpy()
        for place, one in enumerate(x[0].numpy()):
            column = np.eye(weight.shape[1])[one] if module.is_embedding else one
            delta = (weight - u_rows.T @ v_rows) @ column
            seen[name].append((place, v_rows @ column, delta))
        return y

    for prompt in subject.prompts:
        model.run([prompt], [list(range(len(prompt)))], linear=linear)
    means = {}
    for name, values in seen.items():
        means[name] = {}
        for place in range(len(subject.tokens)):
            at = [v for v in values if v[0] == place]
            if place > 0 and len(at) < 8:
                at = [v for v in values if v[0] > 0]
            means[name][place] = [
                np.mean([v[1] for v in at], axis=0),
                np.mean([v[2] for v in at], axis=0),
            ]
    return means


def _close(found, truth):
    found, truth = np.asarray(found), np.asarray(truth)
    assert np.abs(found - truth).max() < 1e-9 * max(1.0, np.abs(truth).max())


def test_everything_kept_is_the_model(subject):
    model = open_model(subject.folder)
    units = ComponentUnits(model, subject.decomposition, "node+delta")
    every = list(range(units.num_units(len(subject.tokens))))
    places = list(range(len(subject.tokens)))
    found = units.logits([_row(subject.tokens, places, every)])[0]
    _close(found, model.run([subject.tokens], [places])[0])


@pytest.mark.parametrize("places", ([0, 1, 2, 3, 4, 5, 6], [0, 2, 3, 6]))
@pytest.mark.parametrize("mean", (False, True))
def test_nodes_are_summed_term_by_term(subject, places, mean):
    units = ComponentUnits(
        open_model(subject.folder),
        subject.decomposition,
        "node+delta",
        subject.prompts if mean else None,
    )
    kept = _half(subject, units.num_units(len(subject.tokens)))
    found = units.logits([_row(subject.tokens, places, kept)])[0]
    means = _means(subject) if mean else None
    _close(found, _term_by_term(subject, kept, places, means))


def test_shared_masks_are_recomposed_weights(subject):
    units = ComponentUnits(
        open_model(subject.folder), subject.decomposition, "subcomponent"
    )
    kept = [
        u
        for u in _half(subject, units.num_units(7))
        if units.of_scheme("subcomponent", 7)[u]
    ]
    places = list(range(7))
    found = units.logits([_row(subject.tokens, places, kept)])[0]

    model = open_model(subject.folder)
    first = 0
    for module in subject.decomposition.modules:
        on = np.isin(np.arange(first, first + len(module.v)), kept)
        first += len(module.v) + 1
        off = (module.u.numpy() * ~on[:, None]).T @ module.v.numpy()
        weight = subject.weights[module.name] - off
        _replace(model, module, weight)
    _close(found, model.run([subject.tokens], [places])[0])


def _replace(model, module, weight):
    """The embedding alone: the unembedding keeps its own weight."""
    if hasattr(model, "_weights"):
        flip = module.is_embedding
        name = f"{module.name}.weight"
        model._weights.setdefault("lm_head.weight", model._weights["wte.weight"])
        model._weights[name] = torch.from_numpy(weight.T if flip else weight)
        return
    layer = model._model.get_submodule(module.name)
    flip = tuple(layer.weight.shape) != weight.shape or (
        type(layer).__name__ == "Conv1D"
    )
    weight = torch.from_numpy(np.ascontiguousarray(weight.T if flip else weight))
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)


def test_names_numbers_and_moves(subject):
    model = open_model(subject.folder)
    nodes = ComponentUnits(model, subject.decomposition, "node")
    shared = ComponentUnits(model, subject.decomposition, "subcomponent+delta")
    first = subject.decomposition.modules[0]
    one = shared.num_units(3)
    assert nodes.num_units(3) == 3 * one
    assert shared.name(0) == f"{first.name}#subcomponent=0"
    assert shared.name(len(first.v)) == f"{first.name}#delta"
    assert nodes.name(2 * one + 1) == f"{first.name}#subcomponent=1@2"
    last = subject.decomposition.modules[-1]
    assert shared.name(one - 1) == f"{last.name}#delta"
    assert shared.moved([3, 5], -1) == [3, 5]
    assert nodes.moved([3, one + 5], -1) == [5]
    assert nodes.moved([3], 2) == [2 * one + 3]
    deltas = len(subject.decomposition.modules)
    assert nodes.of_scheme("node", 3).sum() == 3 * (one - deltas)
    assert nodes.of_scheme("node+delta", 3).sum() == 3 * one


def test_a_decomposition_of_other_weights_is_refused(subject, tmp_path):
    for file in subject.decomposition_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "decomposition.json"
    content = json.loads(path.read_text())
    content["target"]["weights_digest"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="other weights"):
        read_decomposition(tmp_path, subject.folder)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
