"""Spar's arithmetic against transformers in real float64, family by family.

Run as: model_parity_test.py PATH_OF_spar_forward_probe

The truth is transformers (client/python/spar/exact_transformers.py), or
exact_simple.py for the families it does not know. Positions are removed from it
by leaving their tokens out and passing the ids and the mask; Spar's checker
masks keys instead, so two methods meet here.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "client/python")]

import zoo  # noqa: E402
from spar import checkpoint  # noqa: E402
from spar.exact_model import margins  # noqa: E402
from spar.open_model import open_model  # noqa: E402

SERVER = 5e-5  # float32 logits, relative to the largest one
CHECKER = 1e-10  # float64 logits, likewise
LENGTHS = (1, 2, 5, 13, 64)
OF_TRANSFORMERS = [name for name in zoo.ZOO if not name.startswith("simple")]


def _reference_prompts():
    """Of 3 to 20 tokens: fewer than 8 of the 12 reach the later positions."""
    random = np.random.default_rng(5)
    lengths = [3, 4, 5, 6, 8, 9, 11, 12, 14, 16, 18, 20]
    return [random.integers(0, zoo.VOCAB, n).tolist() for n in lengths]


def _questions(model):
    """Rows of every kind, by a name that says what is restricted."""
    random = np.random.default_rng(11)
    rows = {}

    def add(name, length, off=(), positions=None, **kind):
        kind = {"reference": "zero", "mode": "keep_ids", **kind}
        rows[name] = {
            "tokens": random.integers(0, zoo.VOCAB, length).tolist(),
            "target": int(random.integers(zoo.VOCAB)),
            "off": sorted(int(unit) for unit in off),
            "positions": list(range(length)) if positions is None else positions,
            **kind,
        }

    def half():
        return random.permutation(model.num_units)[: model.num_units // 2]

    head = model.units_per_layer + 1  # in layer 1
    neuron = model.units_per_layer + model.num_heads + 7
    everything = range(model.num_units)
    some = [1, 2, 5, 6, 7, 11]  # of 12, with a gap in front and several inside
    for length in LENGTHS:
        add(f"plain {length}", length)
    add("one head off", 12, [head])
    add("one neuron off", 12, [neuron])
    add("half off", 12, half())
    add("half off, long", 64, half())
    add("everything off", 12, everything)
    add("positions deleted", 12, positions=some)
    add("many positions deleted", 64, positions=[0, 3, 30, 31, 33, 50, 63])
    add("only the last position", 12, positions=[11])
    add("positions and half off", 12, half(), some)
    add("reindexed", 12, positions=some, mode="reindex")
    add("reindexed and half off", 12, half(), some, mode="reindex")
    add("mean, half off", 12, half(), reference="mean")
    add("mean, one head off", 12, [head], reference="mean")
    add("mean, everything off", 12, everything, reference="mean")
    add("mean, beyond the prompts", 64, half(), reference="mean")
    add("mean, positions", 12, half(), some, reference="mean")
    add("mean, reindexed", 12, half(), some, reference="mean", mode="reindex")
    prompts = [random.integers(0, zoo.VOCAB, n).tolist() for n in LENGTHS]
    return rows, prompts


def _true_logits(model, row, mean):
    tokens = np.array(row["tokens"])[row["positions"]]
    ids = np.array(row["positions"])
    if row["mode"] == "reindex":
        ids = np.arange(len(ids))
    masks = np.ones((1, model.num_units))
    masks[:, row["off"]] = 0
    logits = model.restricted_logits(
        tokens[None], ids[None], masks, mean if row["reference"] == "mean" else None
    )
    return logits[0].numpy()


class Case:
    """One model of the zoo: its truth, what was asked and what was answered."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.model = open_model(folder)
        self.rows, self.prompts = _questions(self.model)
        self.answers = None

    def question(self):
        return {
            "folder": str(self.folder),
            "reference_prompts": _reference_prompts(),
            "predict": self.prompts,
            "rows": list(self.rows.values()),
        }


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    made = {name: Case(name, zoo.make(name, root)) for name in zoo.ZOO}
    questions = json.dumps([case.question() for case in made.values()])
    probe = subprocess.run(
        [os.environ["SPAR_FORWARD_PROBE"]],
        input=questions,
        capture_output=True,
        text=True,
        check=True,
    )
    for case, answers in zip(made.values(), json.loads(probe.stdout), strict=True):
        case.answers = answers
    return made


@pytest.fixture
def case(cases, request):
    found = cases[request.param]
    assert "error" not in found.answers, found.answers["error"]
    return found


every_model = pytest.mark.parametrize("case", list(zoo.ZOO), indirect=True)


@every_model
def test_server_logits_at_every_position(case):
    for tokens, answer in zip(case.prompts, case.answers["predict"], strict=True):
        ids = np.arange(len(tokens))[None]
        true = case.model.run([tokens], ids, every_position=True)[0].numpy()
        error = np.abs(np.array(answer) - true).max() / np.abs(true).max()
        assert error < SERVER, f"{len(tokens)} tokens"


@every_model
def test_checker_and_server_under_every_restriction(case):
    mean = case.model.mean_activations(_reference_prompts())
    for (name, row), answer in zip(
        case.rows.items(), case.answers["rows"], strict=True
    ):
        true = _true_logits(case.model, row, mean)
        scale = np.abs(true).max()
        assert np.abs(answer["exact_logits"] - true).max() < CHECKER * scale, name

        target = row["target"]
        margin = margins(true[None], target)[0]
        log_probability = true[target] - np.logaddexp.reduce(true)
        assert abs(answer["exact_margin"] - margin) < 2 * CHECKER * scale, name
        assert abs(answer["margin"] - margin) < 2 * SERVER * scale, name
        assert abs(answer["target_logit"] - true[target]) < SERVER * scale, name
        runner_up = true[target] - margin
        assert abs(answer["runner_up_logit"] - runner_up) < SERVER * scale, name
        assert abs(true[answer["runner_up"]] - runner_up) < SERVER * scale, name
        assert (
            abs(answer["target_log_probability"] - log_probability)
            < 4 * SERVER * scale
        ), name


@every_model
def test_names_and_digest(case):
    model = case.answers["model"]
    names = [case.model.unit_name(unit) for unit in range(case.model.num_units)]
    assert model["unit_names"] == names
    config = checkpoint.read_config(case.folder)
    tensors = checkpoint.read_tensors(case.folder)
    assert model["weights_digest"] == checkpoint.weights_digest(config, tensors)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("gpt2", {"activation_function": "gelu"}),
        ("gpt2", {"layer_norm_epsilon": 1e-6}),
        ("gpt2", {"scale_attn_weights": False}),
        ("gpt2_by_layer", {"scale_attn_by_inverse_layer_idx": False}),
        ("neox", {"hidden_act": "gelu_new"}),
        ("neox", {"use_parallel_residual": False}),
        ("neox_hub", {"rotary_pct": 1.0}),
        ("neox_hub", {"rotary_emb_base": 10000}),
        ("llama", {"rms_norm_eps": 1e-5}),
        ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e3}}),
        ("llama3_old", {"rope_scaling": None}),
        ("mistral", {"sliding_window": 6}),
        ("qwen2_window", {"max_window_layers": 2, "layer_types": None}),
        ("simple_mlp", {"rms_norm_eps": 1e-5}),
        ("simple_mlp", {"rotary_adjacent_pairs": True}),
    ],
)
def test_a_wrong_variant_would_be_seen(cases, name, wrong, tmp_path):
    for file in cases[name].folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    zoo.edit_config(tmp_path, **wrong)
    variant = open_model(tmp_path)
    largest = 0
    for row in cases[name].rows.values():
        true = _true_logits(cases[name].model, {**row, "reference": "zero"}, None)
        other = _true_logits(variant, {**row, "reference": "zero"}, None)
        largest = max(largest, np.abs(true - other).max() / np.abs(true).max())
    assert largest > 2 * SERVER


class _NarrowFloats(TorchDispatchMode):
    """Collects the operations that read or write a float narrower than 64."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                if value.dtype != torch.float64:
                    self.seen.add(str(operation))
        return result


@pytest.mark.parametrize("name", OF_TRANSFORMERS)
def test_the_truth_runs_no_float32_operation(cases, name):
    row = cases[name].rows["positions and half off"]
    with _NarrowFloats() as narrow:
        _true_logits(cases[name].model, row, None)
    assert narrow.seen == set()


def test_a_model_cast_to_double_does_run_float32_operations(cases):
    model = AutoModelForCausalLM.from_pretrained(cases["llama"].folder).double()
    with torch.no_grad(), _NarrowFloats() as narrow:
        model(torch.tensor([[1, 2, 3]]))
    assert narrow.seen


if __name__ == "__main__":
    os.environ["SPAR_FORWARD_PROBE"] = sys.argv[1]
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
