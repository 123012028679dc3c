"""Resident decompositions against plain torch in float64, kind by kind.

Run as: decomposition_test.py PATH_OF_spar_decomposition_probe

The truth for what a decomposition computes is decomposition_reference.py; the
truth for what its modules read is transformers, with hooks, or the numpy models
of client/python/spar for the families that transformers does not know.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "client/python")]

import zoo  # noqa: E402
from decomposition_reference import Reference  # noqa: E402
from random_decomposition import (  # noqa: E402
    KINDS,
    MODELS,
    ROTARY,
    SIGMOIDS,
    linear_weights,
    write_decomposition,
)
from spar import checkpoint, exact_simple  # noqa: E402

TOLERANCE = 1e-5  # relative to the largest number of a module
LENGTHS = (1, 7, 3, 7, 12)
THRESHOLD = 0.25

class _Listening(exact_simple.SimpleModel):
    def _linear(self, name, x):
        self.seen[name] = x[0]
        return super()._linear(name, x)


def module_inputs(folder, tokens, embedding, modules):
    """By module: what it reads, [T, d_in]; of the embedding the ids, [T]."""
    config = checkpoint.read_config(folder)
    seen = {}
    if config["model_type"] in exact_simple.FAMILIES:
        tensors = checkpoint.read_tensors(folder)
        model = _Listening(
            config, {name: t.to_float64() for name, t in tensors.items()}
        )
        model.seen = seen
        model.run([tokens], [list(range(len(tokens)))])
    else:
        model = AutoModelForCausalLM.from_pretrained(folder).double().eval()

        def listener(name):
            return lambda _, args: seen.__setitem__(name, args[0][0].detach())

        for name, module in model.named_modules():
            if name in modules and name != embedding:
                module.register_forward_pre_hook(listener(name))
        with torch.no_grad():
            model(torch.tensor([tokens]))
    seen[embedding] = torch.tensor(tokens)
    return {name: seen[name] for name in modules}


class Case:
    """One decomposition of one model, and what the probe says about it."""

    def __init__(self, root, model, kind, sigmoid, seed, dtype="float32"):
        self.name = f"{model}-{kind}"
        self.model = root / model
        if not self.model.exists():
            zoo.make(model, root)
        self.embedding = MODELS[model]
        self.weights = linear_weights(self.model, self.embedding)
        takes_tokens = kind == "mlp" or KINDS[kind]["kind"].startswith("global")
        if not takes_tokens:
            del self.weights[self.embedding]
        self.folder = root / f"{self.name}-{dtype}"
        write_decomposition(
            self.folder, self.model, self.weights, KINDS[kind], sigmoid, seed
        )
        random = np.random.default_rng(seed)
        self.prompts = [random.integers(0, zoo.VOCAB, n).tolist() for n in LENGTHS]
        self.question = {
            "model": str(self.model),
            "decomposition": str(self.folder),
            "dtype": dtype,
            "prompts": self.prompts,
            "threshold": THRESHOLD,
        }

    def truth(self):
        """By field and module: rows of all prompts, one after another."""
        reference = Reference(self.folder)
        if self.question["dtype"] == "bfloat16":
            for name, tensor in reference.tensors.items():
                if self._is_matrix(name):
                    reference.tensors[name] = tensor.bfloat16().double()
        fields = {"a": {}, "z": {}, "lower": {}, "upper": {}}
        for tokens in self.prompts:
            inputs = module_inputs(
                self.model, tokens, self.embedding, list(self.weights)
            )
            z = reference.logits(inputs)
            for name, x in inputs.items():
                values = {
                    "a": reference.activations(name, x),
                    "z": z[name],
                    "lower": reference.lower(z[name]),
                    "upper": reference.upper(z[name]),
                }
                for field, value in values.items():
                    fields[field].setdefault(name, []).append(value)
        return {
            field: {name: torch.cat(rows) for name, rows in by_name.items()}
            for field, by_name in fields.items()
        }

    @staticmethod
    def _is_matrix(name):
        vectors = (".bias", "norm.weight", ".relative")
        return not name.endswith(vectors)


def _ask(questions):
    done = subprocess.run(
        [os.environ["DECOMPOSITION_PROBE"]],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _plan():
    """Every kind on the paper's architecture; every architecture with some."""
    plan = [("simple_mlp", kind) for kind in KINDS]
    some = ("mlp", "shared_mlp", "sequence_key", "transformer", "reverse")
    plan += [(model, kind) for model in MODELS if model != "simple_mlp" for kind in some]
    return [
        (*case, SIGMOIDS[i % len(SIGMOIDS)], 100 + i) for i, case in enumerate(plan)
    ]


PLAN = _plan()


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("decompositions")
    made = [Case(root, *case) for case in PLAN]
    made += [
        Case(root, "simple_mlp", kind, "leaky_hard", 7, "bfloat16")
        for kind in ("vector_mlp", "transformer")
    ]
    for case, answer in zip(made, _ask([case.question for case in made])):
        assert "error" not in answer, (case.name, answer)
        case.answer = answer
    return made


@pytest.fixture(params=range(len(PLAN) + 2))
def case(cases, request):
    return cases[request.param]


def test_activations_logits_and_importances(case):
    truth = case.truth()
    answer = case.answer
    assert sorted(answer["names"]) == sorted(case.weights)
    for field, by_name in truth.items():
        for m, name in enumerate(answer["names"]):
            got = torch.tensor(answer[field][m], dtype=torch.float64)
            want = by_name[name]
            scale = max(1.0, want.abs().max().item())
            worst = (got - want).abs().max().item() / scale
            assert worst < TOLERANCE, (case.name, field, name, worst)
    spread = torch.cat([z.flatten() for z in truth["z"].values()])
    assert ((spread > 0) & (spread < 1)).float().mean() > 0.1
    assert (spread < 0).any() and (spread > 1).any()


def test_sparse_lists_hold_what_is_above_the_threshold(case):
    answer = case.answer
    row = 0
    for tokens, modules in zip(case.prompts, answer["sparse"]):
        for m, sparse in enumerate(modules):
            rows = slice(row, row + len(tokens))
            dense_g = np.array(answer["lower"][m], dtype=np.float32)[rows]
            dense_a = np.array(answer["a"][m], dtype=np.float32)[rows]
            g, a = np.zeros_like(dense_g), np.zeros_like(dense_a)
            assert len(sparse["begin"]) == len(tokens) + 1
            for t in range(len(tokens)):
                part = slice(sparse["begin"][t], sparse["begin"][t + 1])
                components = sparse["component"][part]
                assert components == sorted(set(components))
                g[t, components] = sparse["importance"][part]
                a[t, components] = sparse["activation"][part]
            clear = abs(dense_g - THRESHOLD) > 1e-5
            kept = (dense_g > THRESHOLD) & clear
            assert np.abs((g - dense_g)[kept]).max(initial=0) < 1e-5
            assert np.abs((a - dense_a)[kept]).max(initial=0) < 1e-4
            assert not g[(dense_g <= THRESHOLD) & clear].any()
        row += len(tokens)


def test_norms_and_identity(case):
    if case.question["dtype"] != "float32":
        return
    reference = Reference(case.folder)
    answer = case.answer
    assert 0 < answer["identity_error"] < 1e-5
    for m, name in enumerate(answer["names"]):
        weight = case.weights[name]
        delta = reference.delta(name, weight)
        norms = reference.u(name).norm(dim=1) * reference.v(name).norm(dim=1)
        assert answer["weight_norm"][m] == pytest.approx(weight.norm().item(), 1e-5)
        assert answer["delta_norm"][m] == pytest.approx(delta.norm().item(), 1e-5)
        assert answer["component_norms"][m] == pytest.approx(norms.tolist(), 1e-5)


def test_prompts_longer_than_the_function_takes_are_refused(cases):
    case = next(c for c in cases if c.name == "simple_mlp-transformer")
    question = {**case.question, "prompts": [[1, 2], [3] * 13]}
    (answer,) = _ask([question])
    assert "prompts[1].tokens has 13 tokens" in answer["error"]
    assert "at most 12" in answer["error"]


def test_numbers_too_large_to_cancel_are_refused(cases, tmp_path):
    case = next(c for c in cases if c.name == "simple_mlp-mlp")
    folder = tmp_path / "huge"
    folder.mkdir()
    text = (case.folder / "decomposition.json").read_text()
    (folder / "decomposition.json").write_text(text)
    tensors = {name: t.float() for name, t in Reference(case.folder).tensors.items()}
    for factor in (1e6, 1e25):
        changed = dict(tensors)
        for side in "UV":
            name = f"components.h.1.mlp.c_fc.{side}"
            changed[name] = tensors[name] * factor
        save_file(changed, folder / "decomposition.safetensors")
        (answer,) = _ask([{**case.question, "decomposition": str(folder)}])
        assert "'h.1.mlp.c_fc' with all masks and Delta at 1" in answer["error"]


def test_a_wrong_definition_would_be_seen(cases):
    """The truth without one detail is far from the answer."""
    case = next(c for c in cases if c.name == "simple_mlp-transformer")
    reference = Reference(case.folder)
    reference.ci = {**reference.ci, "attention": {**ROTARY, "rope_base": 60.0}}
    tokens = case.prompts[-1]
    inputs = module_inputs(case.model, tokens, case.embedding, list(case.weights))
    z = reference.logits(inputs)
    name = case.answer["names"][3]
    got = torch.tensor(case.answer["z"][3])[-len(tokens) :]
    assert (got - z[name]).abs().max() > 1e-4


if __name__ == "__main__":
    os.environ["DECOMPOSITION_PROBE"] = sys.argv[1]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__, *sys.argv[2:]]))
