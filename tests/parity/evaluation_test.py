"""Evaluations of decompositions against plain torch in float64.

Run as: evaluation_test.py PATH_OF_spar_evaluation_probe

Every number is transcribed from its definition (docs/decompositions.md, VPD and
the metrics of the spd library), on models that share nothing with Spar: runs are
whole rows, one at a time, with what each decomposed weight gives put in by hand.
Random draws are the engine's own, made again here.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AttentionInterface

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "client/python")]

import zoo  # noqa: E402
from decomposition_reference import Reference  # noqa: E402
from decomposition_test import module_inputs  # noqa: E402
from random_decomposition import (  # noqa: E402
    KINDS,
    MODELS,
    linear_weights,
    write_decomposition,
)
from spar import exact_simple, exact_transformers  # noqa: E402
from spar.decomposition import read_decomposition  # noqa: E402
from spar.open_model import open_model  # noqa: E402

TARGET, UNMASKED, IMPORTANCE, ROUNDED, STOCHASTIC, RANDOM, ZERO = range(7)
ROWS = [[5, 9, 2, 40, 77, 3, 12], [1, 1, 60, 8, 33, 90, 4], [17, 6], [8, 70, 21]]
QUESTION = {
    "rows": ROWS,
    "batch_rows": 3,
    "alive_threshold": 0.2,
    "alive_mean": 0.3,
    "rounding_threshold": 0.4,
    "samples": 2,
    "seed": 11,
    "sweep": [0.0, 0.35, 0.9],
    "subsets": [[2, 4]],
    "attack": {"step_counts": [0, 1, 4], "step_size": 0.3, "restarts": 2},
}
CASES = {
    # Rotary, grouped queries, a gated MLP; importances that see all positions.
    "llama": ("transformer", "leaky_hard"),
    # One weight for q, k and v, biases, adjacent pairs; binomial sampling.
    "simple_mlp_fused": ("mlp", "hard"),
}
MASK64 = 2**64 - 1
STEP = 0x9E3779B97F4A7C15


def splitmix(x):
    x = (x + STEP) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


@functools.cache
def uniform(seed, stream, *sizes):
    state = splitmix(splitmix(seed) ^ stream)
    count = int(np.prod(sizes))
    numbers = [(splitmix((state + i * STEP) & MASK64) >> 40) / 2**24 for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(sizes)


class _TracedSimple(exact_simple.SimpleModel):
    def _heads(self, block, x, positions):
        q, k, _ = self._qkv(block, x)
        q, k = self._rotate(q, positions), self._rotate(k, positions)
        scores = q @ k.transpose(2, 3) / self.head_dim**0.5
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        PATTERNS.append(scores.masked_fill(~seen, -torch.inf).softmax(-1)[0])
        return super()._heads(block, x, positions)


PATTERNS = []  # [layer] of the latest run: [heads, queries, keys]
_PLAIN_ATTENTION = exact_transformers._attention


def _traced_attention(*arguments, **keywords):
    mixed, pattern = _PLAIN_ATTENTION(*arguments, **keywords)
    PATTERNS.append(pattern[0])
    return mixed, pattern


class Truth:
    """One model with one decomposition."""

    def __init__(self, root, model):
        kind, sigmoid = CASES[model]
        self.folder, self.decomposed = zoo.make(model, root), root / f"{model}-{kind}"
        embedding = MODELS[model]
        weights = linear_weights(self.folder, embedding)
        write_decomposition(
            self.decomposed, self.folder, weights, KINDS[kind], sigmoid, 31
        )
        self.weights = weights
        self.binomial = sigmoid == "hard"
        self.modules = read_decomposition(self.decomposed, self.folder).modules
        self.model = open_model(self.folder)
        if isinstance(self.model, exact_simple.SimpleModel):
            self.model.__class__ = _TracedSimple
        else:
            AttentionInterface.register("exact", _traced_attention)
        self.model.watch([module.name for module in self.modules])
        reference = Reference(self.decomposed)
        self.g = []  # [row]: by module [T, C]
        for row in ROWS:
            z = reference.logits(module_inputs(self.folder, row, embedding, list(weights)))
            self.g.append([reference.lower(z[m.name]) for m in self.modules])

    def batches(self):
        return [[0, 1, 2], [3]]

    def run(self, row, masks):
        """masks: [module] of None (the model's own) or (m [T, C], d [T]). Gives
        log p [T, vocab], outputs [module] [T, d_out], patterns [layer]."""
        by_name = {m.name: (m, mask) for m, mask in zip(self.modules, masks)}
        seen = {}

        def linear(name, x, y):
            module, mask = by_name[name]
            if mask is not None:
                of_components, of_delta = mask
                parts = module.activations(x[0]) * of_components
                plain = module.activations(x[0]) @ module.u + module.delta_output(x[0])
                bias = y[0] - plain
                y = parts @ module.u + of_delta[:, None] * module.delta_output(x[0]) + bias
                y = y[None]
            seen[name] = y[0]
            return y

        PATTERNS.clear()
        logits = self.model.run(
            torch.tensor([ROWS[row]]),
            torch.arange(len(ROWS[row]))[None],
            every_position=True,
            linear=linear,
        )[0]
        return logits.log_softmax(-1), [seen[m.name] for m in self.modules], list(PATTERNS)

    def masks(self, kind, batch, sample=0, threshold=QUESTION["rounding_threshold"]):
        """By row of the batch: masks of every module."""
        rows = self.batches()[batch]
        lengths = [len(ROWS[row]) for row in rows]
        made = []
        for m in range(len(self.modules)):
            g = torch.cat([self.g[row][m] for row in rows])
            zeros = torch.zeros(len(g), dtype=torch.float64)
            draw = batch * QUESTION["samples"] + sample
            of = {
                UNMASKED: lambda: (torch.ones_like(g), zeros),
                IMPORTANCE: lambda: (g, zeros),
                ROUNDED: lambda: ((g > threshold).double(), zeros),
                ZERO: lambda: (torch.zeros_like(g), zeros),
                STOCHASTIC: lambda: self._stochastic(g, draw * 2**32 + 2 * m),
                RANDOM: lambda: (
                    uniform(splitmix(QUESTION["seed"] ^ 0x52414E444F4D),
                            draw * 2**32 + m, *g.shape),
                    zeros,
                ),
                TARGET: lambda: (torch.ones_like(g), torch.ones_like(zeros)),
            }[kind]()
            made.append([part.split(lengths) for part in of])
        return [[(of[0][i], of[1][i]) for of in made] for i in range(len(rows))]

    def _stochastic(self, g, stream):
        u = uniform(QUESTION["seed"], stream, *g.shape)
        u = (u >= 0.5).double() if self.binomial else u
        return g + (1 - g) * u, uniform(QUESTION["seed"], stream + 1, len(g))

    def clean(self, row):
        return self.run(row, [None] * len(self.modules))


def read(row, log_p, model):
    """Sums over a row: KL, cross-entropy."""
    kl = (model.exp() * (model - log_p)).sum()
    tokens = torch.tensor(ROWS[row][1:])
    return kl, -log_p[:-1].gather(1, tokens[:, None]).sum()


POSITIONS = sum(map(len, ROWS))
NEXT_TOKENS = POSITIONS - len(ROWS)


def ask(questions):
    done = subprocess.run(
        [os.environ["EVALUATION_PROBE"]],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    truth = Truth(tmp_path_factory.mktemp("evaluation"), request.param)
    truth.question = {
        **QUESTION, "model": str(truth.folder), "decomposition": str(truth.decomposed)
    }
    with torch.no_grad():
        truth.cleans = [truth.clean(row) for row in range(len(ROWS))]
    (truth.answer,) = ask([truth.question])
    assert "error" not in truth.answer, truth.answer
    return truth


def parts(case, kind, **fields):
    return [
        part
        for part in case.answer["parts"]
        if part["kind"] == kind and all(part[key] == value for key, value in fields.items())
    ]


def near(value):
    return pytest.approx(value, rel=2e-5, abs=2e-6)


def mean_readings(case, kind, samples=1, only=None, threshold=QUESTION["rounding_threshold"]):
    """(CE, KL) under masks of `kind`, those of the modules `only`."""
    sums = np.zeros(2)
    with torch.no_grad():
        for batch, rows in enumerate(case.batches()):
            for sample in range(samples):
                for row, masks in zip(rows, case.masks(kind, batch, sample, threshold)):
                    if only is not None:
                        masks = [m if i in only else None for i, m in enumerate(masks)]
                    log_p = case.run(row, masks)[0]
                    kl, ce = read(row, log_p, case.cleans[row][0])
                    sums += [ce.item(), kl.item()]
    return sums / [NEXT_TOKENS * samples, POSITIONS * samples]


def test_parts_come_in_order_and_the_steps_add_up(case):
    kinds = [part["kind"] for part in case.answer["parts"]]
    assert kinds == ["faithfulness", "sparsity", "reconstruction", "outputs", "outputs",
                     "patterns", "patterns", "curve", "reconstruction", "curve",
                     "attack", "attack"]
    runs = 2 * (1 + 4 + 2 * 2 + 3) * 2 + 2 * 2 * (1 + 2 * 5)
    assert case.answer["steps"] == case.answer["max_steps"] == runs
    assert case.answer["modules"] == [module.name for module in case.modules]


def test_faithfulness(case):
    (part,) = parts(case, "faithfulness")
    deltas, weights, count = 0, 0, 0
    for (delta, weight, relative), module in zip(part["modules"], case.modules):
        w = case.weights[module.name]
        assert delta == near(module.delta.square().mean().item())
        assert weight == near(w.square().mean().item())
        assert relative == near((module.delta.square().sum() / w.square().sum()).item())
        deltas += module.delta.square().sum().item()
        weights += w.square().sum().item()
        count += w.numel()
    assert part["all"] == near([deltas / count, weights / count, deltas / weights])


def test_sparsity(case):
    (part,) = parts(case, "sparsity")
    assert part["positions"] == POSITIONS
    alive = []
    for m, told in enumerate(part["modules"]):
        g = torch.cat([row[m] for row in case.g])
        active = g > QUESTION["alive_threshold"]
        assert told["l0"] == near(active.sum(1).double().mean().item())
        assert told["means"] == near(g.mean(0).tolist())
        assert told["densities"] == near(active.double().mean(0).tolist())
        assert told["active"] == active.any(0).sum().item()
        assert told["alive"] == (g.mean(0) > QUESTION["alive_mean"]).sum().item()
        alive.append(told["alive"] < len(g.T))
    assert any(alive) and not all(told["alive"] == 0 for told in part["modules"])


@pytest.mark.parametrize("subset, only", ((-1, None), (0, (2, 4))))
def test_the_table_of_masks(case, subset, only):
    (part,) = parts(case, "reconstruction", subset=subset)
    assert [reading["masks"] for reading in part["readings"]] == list(range(7))
    model = mean_readings(case, TARGET)[0]
    assert part["readings"][TARGET]["ce"] == near(model)
    assert part["readings"][TARGET]["kl"] == pytest.approx(0, abs=1e-6)
    zero = mean_readings(case, ZERO, only=only)[0] - model
    for reading in part["readings"][1:]:
        kind = reading["masks"]
        samples = 2 if kind in (STOCHASTIC, RANDOM) else 1
        ce, kl = mean_readings(case, kind, samples, only)
        assert reading["ce"] == near(ce), kind
        assert reading["kl"] == near(kl), kind
        assert reading["difference"] == pytest.approx(ce - model, abs=1e-5)
        assert reading["unrecovered"] == pytest.approx((ce - model) / zero, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("kind, samples", ((IMPORTANCE, 1), (STOCHASTIC, 2)))
def test_errors_inside_the_model(case, kind, samples):
    outputs = [[0.0, 0.0, 0] for _ in case.modules]
    layers = [0.0] * case.model.num_layers
    queries = samples * POSITIONS * case.model.num_heads
    with torch.no_grad():
        for batch, rows in enumerate(case.batches()):
            for sample in range(samples):
                for row, masks in zip(rows, case.masks(kind, batch, sample)):
                    _, masked, patterns = case.run(row, masks)
                    _, clean, clean_patterns = case.cleans[row]
                    for sums, y, want in zip(outputs, masked, clean):
                        sums[0] += (y - want).square().sum().item()
                        sums[1] += want.square().sum().item()
                        sums[2] += want.numel()
                    for i, (p, q) in enumerate(zip(clean_patterns, patterns)):
                        terms = torch.where(p > 0, p * (p.log() - q.log()), 0.0)
                        layers[i] += terms.sum().item() / queries
    (part,) = parts(case, "outputs", masks=kind)
    for told, (error, clean, count) in zip(part["modules"], outputs):
        assert told == near([error / count, clean / count])
    totals = np.array(outputs).sum(0)
    assert part["all"] == near((totals[:2] / totals[2]).tolist())
    assert totals[0] > 0
    (part,) = parts(case, "patterns", masks=kind)
    assert part["layers"] == near(layers)
    assert part["all"] == near(np.mean(layers))
    assert max(layers) > 1e-4


@pytest.mark.parametrize("subset, only", ((-1, None), (0, (2, 4))))
def test_cross_entropy_against_sparsity(case, subset, only):
    (part,) = parts(case, "curve", subset=subset)
    model = mean_readings(case, TARGET)[0]
    for point, threshold in zip(part["points"], QUESTION["sweep"]):
        ce, kl = mean_readings(case, ROUNDED, only=only, threshold=threshold)
        assert point["threshold"] == threshold
        assert point["ce"] == near(ce) and point["kl"] == near(kl)
        assert point["difference"] == pytest.approx(ce - model, abs=1e-5)
        l0, parameters = [], 0
        for m, module in enumerate(case.modules):
            g = torch.cat([row[m] for row in case.g])
            masked = only is None or m in only
            l0.append((g > threshold).sum().item() / POSITIONS if masked else 0)
            parameters += l0[-1] * (module.v.shape[1] + module.u.shape[1])
        assert point["module_l0"] == near(l0)
        assert point["l0"] == near(sum(l0))
        assert point["parameters"] == near(parameters)


def attack(case, batch, shared, restart):
    """[step]: sums of (KL, CE) over the batch after so many steps."""
    rows = case.batches()[batch]
    lengths = [len(ROWS[row]) for row in rows]
    seed = splitmix((QUESTION["seed"] + batch) & MASK64)
    g = [torch.cat([case.g[row][m] for row in rows]) for m in range(len(case.modules))]
    sources = []
    for m, of_module in enumerate(g):
        count = 1 if shared else len(of_module)
        stream = restart * 2**32 + 2 * m
        sources.append(uniform(seed, stream, count, of_module.shape[1]))
        sources.append(uniform(seed, stream + 1, count))
    told = []
    for _ in range(QUESTION["attack"]["step_counts"][-1] + 1):
        sources = [source.detach().requires_grad_(True) for source in sources]
        made = []
        for m, of_module in enumerate(g):
            masks = of_module + (1 - of_module) * sources[2 * m]
            deltas = sources[2 * m + 1].expand(len(of_module))
            made.append((masks.split(lengths), deltas.split(lengths)))
        sums = [0, 0]
        for i, row in enumerate(rows):
            masks = [(of[0][i], of[1][i]) for of in made]
            kl, ce = read(row, case.run(row, masks)[0], case.cleans[row][0])
            sums = [sums[0] + kl, sums[1] + ce]
        told.append([value.item() for value in sums])
        slopes = torch.autograd.grad(sums[0], sources, allow_unused=True)
        sources = [
            source if slope is None
            else (source + QUESTION["attack"]["step_size"] * slope.sign()).clamp(0, 1)
            for source, slope in zip(sources, slopes)
        ]
    return told


@pytest.mark.parametrize("shared", (True, False))
def test_attacks(case, shared):
    (part,) = parts(case, "attack", shared=shared)
    assert part["positions"] == POSITIONS
    model = mean_readings(case, TARGET)[0]
    sums = {steps: np.zeros(2) for steps in QUESTION["attack"]["step_counts"]}
    for batch in range(len(case.batches())):
        restarts = [attack(case, batch, shared, restart) for restart in range(2)]
        for steps, total in sums.items():
            total += max((told[steps] for told in restarts), key=lambda pair: pair[0])
    for point, (steps, total) in zip(part["points"], sums.items()):
        assert point["steps"] == steps
        # A slope of almost nothing may have either sign in float32.
        assert point["kl"] == pytest.approx(total[0] / POSITIONS, rel=1e-3)
        assert point["ce"] == pytest.approx(total[1] / NEXT_TOKENS, rel=1e-3)
        assert point["difference"] == pytest.approx(point["ce"] - model, abs=1e-5)
    assert part["points"][-1]["kl"] > part["points"][0]["kl"]


def test_a_batch_that_does_not_fit_is_refused_and_attacks_can_be_fewer(case):
    few = {**case.question, "sweep": [], "subsets": [], "samples": 1}
    few["attack"] = {"step_counts": [1], "max_batches": 1}
    answer, refused = ask([few, {**case.question, "max_batch_bytes": 10_000}])
    assert "a batch of 16 tokens needs about" in refused["error"]
    attacks = [part for part in answer["parts"] if part["kind"] == "attack"]
    assert [part["positions"] for part in attacks] == [16, 16]
    assert not any(part["kind"] == "curve" for part in answer["parts"])


if __name__ == "__main__":
    os.environ["EVALUATION_PROBE"] = sys.argv[1]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__, *sys.argv[2:]]))
