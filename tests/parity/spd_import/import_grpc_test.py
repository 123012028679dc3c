"""The rung that a client stands on: spard serves every import, and the causal
importances it streams over gRPC, in float32, are those that torch has of the run
in float64."""

import json
import shutil

import numpy as np
import pytest

import spar
from cases import CASES
from import_server_test import NEAR_THRESHOLD, PROMPTS, THRESHOLD, close, truth_of
from random_model import write_word_tokenizer
from spard_process import Spard


def _name(case):
    return case.replace("_", "-")


@pytest.fixture(scope="module")
def client(imports, tmp_path_factory):
    arguments = []
    for case in CASES:
        folder = imports(case).folder
        model = tmp_path_factory.mktemp(case) / "model"
        shutil.copytree(folder / "model", model)
        config = json.loads((model / "config.json").read_text())
        write_word_tokenizer(model, config["vocab_size"])
        arguments += [f"--model={_name(case)}={model}",
                      f"--decomposition={_name(case)}/main={folder}/decomposition"]
    with Spard(*arguments, cache=tmp_path_factory.mktemp("cache")) as spard:
        with spar.Client(spard.address, timeout=300) as made:
            yield made
        assert spard.stop() == 0


@pytest.mark.parametrize("case", list(CASES))
def test_the_import_is_served_as_it_is(client, imports, case):
    told = client.decomposition("main", model=_name(case), view="full")
    run, made = imports(case).model, CASES[case]
    assert {module.name: module.subcomponent_count for module in told.modules} == run.counts
    assert told.target_weights_digest == imports(case).summary.weights_digest
    assert told.identity_error < 1e-5
    assert told.has_delta == made.delta
    for module in told.modules:
        part = run.part(module.name)
        norms = part.U.norm(dim=1) * part.V.norm(dim=0)
        assert list(module.subcomponent_norms) == pytest.approx(norms.tolist(), rel=1e-5)


@pytest.mark.parametrize("case", list(CASES))
def test_importances_over_grpc_are_those_of_the_run(client, imports, case):
    answers = list(client.importances(
        PROMPTS, decomposition="main", model=_name(case), threshold=THRESHOLD))
    truth = truth_of(case, imports(case).model)
    kept = 0
    for prompt, answer, modules in zip(PROMPTS, answers, truth, strict=True):
        assert [token.id for token in answer.tokens] == prompt
        assert sorted(answer.modules) == sorted(modules)
        for path, (a, _, lower, _) in modules.items():
            told = answer.modules[path]
            mine = np.zeros(lower.shape, dtype=bool)
            mine[told.positions, told.subcomponents] = True
            clear = np.abs(lower - THRESHOLD) > NEAR_THRESHOLD
            assert (mine == (lower > THRESHOLD))[clear].all(), path
            close(told.importances, lower[mine], path)
            close(told.activations, a[mine], path)
            kept += len(told.positions)
    assert kept > 10
