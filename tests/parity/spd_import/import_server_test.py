"""The last rungs: the server's backend loads every import and says, in float32,
what torch says of the run in float64: logits, activations, importances."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch

from cases import CASES
from reference_ci import sigmoids

TOLERANCE = 1e-5  # relative to the largest value of a module
NEAR_THRESHOLD = 1e-4  # importances this close to it may fall on either side
PROMPTS = [[7, 0, 33, 60, 7, 12, 48, 5, 5], [19, 2, 44], [3]]
THRESHOLD = 0.25


def _ask(probe, questions):
    answered = subprocess.run(
        [os.environ[probe]],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(CASES, json.loads(answered.stdout), strict=True))


@pytest.fixture(scope="module")
def answers(imports):
    """Case to (the run as torch has it, what the backend says)."""
    questions = [
        {
            "model": str(folder / "model"),
            "decomposition": str(folder / "decomposition"),
            "dtype": "float32",
            "prompts": PROMPTS,
            "threshold": THRESHOLD,
        }
        for folder in (imports(name).folder for name in CASES)
    ]
    held = _ask("SPAR_DECOMPOSITION_PROBE", questions)
    return {name: (imports(name).model, held[name]) for name in CASES}


@pytest.fixture(scope="module")
def predictions(imports):
    """Case to the logits that the backend has for PROMPTS."""
    questions = [
        {
            "folder": str(folder / "model"),
            "reference_prompts": [[1, 2, 3]],
            "predict": PROMPTS,
            "rows": [],
        }
        for folder in (imports(name).folder for name in CASES)
    ]
    return _ask("SPAR_FORWARD_PROBE", questions)


def truth_of(name, model):
    """Of each prompt: module to (a, z, lower, upper)."""
    case, said = CASES[name], []
    for prompt in PROMPTS:
        _, inputs = model.run(torch.tensor([prompt]))
        modules = {}
        for path, z in model.ci_logits(inputs).items():
            a = model.part(path).activations(inputs[path]).detach()
            read = 1.05 * z - 0.025 if case.sampling == "binomial" else z
            lower, upper = sigmoids(case.sigmoid, read)[0], sigmoids(case.sigmoid, z)[1]
            modules[path] = [t[0].numpy() for t in (a, z, lower, upper)]
        said.append(modules)
    return said


def close(mine, truth, what):
    mine = np.asarray(mine)
    assert mine.shape == truth.shape, what
    error = np.abs(mine - truth).max(initial=0) / np.abs(truth).max(initial=1)
    assert error < TOLERANCE, f"{what}: {error}"


@pytest.mark.parametrize("name", list(CASES))
def test_logits_of_the_target(imports, predictions, name):
    assert "error" not in predictions[name], predictions[name]["error"]
    for prompt, logits in zip(PROMPTS, predictions[name]["predict"], strict=True):
        truth = imports(name).model.run(torch.tensor([prompt]))[0][0].numpy()
        close(logits, truth, f"logits after {prompt}")


@pytest.mark.parametrize("name", list(CASES))
def test_activations_logits_and_importances(answers, name):
    model, answer = answers[name]
    assert "error" not in answer, answer["error"]
    assert sorted(answer["names"]) == sorted(model.counts)
    assert answer["identity_error"] < 1e-5
    truth = truth_of(name, model)
    for m, path in enumerate(answer["names"]):
        for i, what in enumerate(("a", "z", "lower", "upper")):
            joined = np.concatenate([prompt[path][i] for prompt in truth])
            close(answer[what][m], joined, f"{what} of {path}")


@pytest.mark.parametrize("name", list(CASES))
def test_sparse_importances(answers, name):
    model, answer = answers[name]
    kept = 0
    for prompt, held in zip(truth_of(name, model), answer["sparse"], strict=True):
        for path, sparse in zip(answer["names"], held, strict=True):
            a, _, lower, _ = prompt[path]
            mine = np.zeros_like(lower, dtype=bool)
            for t, (begin, end) in enumerate(
                zip(sparse["begin"], sparse["begin"][1:], strict=False)
            ):
                mine[t, sparse["component"][begin:end]] = True
            clear = np.abs(lower - THRESHOLD) > NEAR_THRESHOLD
            assert (mine == (lower > THRESHOLD))[clear].all(), path
            close(sparse["importance"], lower[mine], path)
            close(sparse["activation"], a[mine], path)
            kept += mine.sum()
    assert kept > 10
