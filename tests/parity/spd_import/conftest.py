"""Imports that tests share, and runs that they may spoil."""

import functools
import os
import shutil

import pytest
import torch
import yaml

import runs
from cases import CASES
from spar.import_spd import Refused, import_run

# One of each way to state a CI function, and one with stored biases.
SPOILED = (
    "mlp_with_embedding",
    "transformer",
    "reverse_residual_attention",
    "vector_mlp_hub_gpt2_main",
)


class Import:
    """A case's run as torch has it, in float64; the folder and the Summary of
    its import."""

    def __init__(self, case, root):
        self.case = case
        self.model = runs.write(case, root, steps=(20, 9, 100)).double()
        self.folder = root / "out"
        self.summary = import_run(root / "run", self.folder, target=root / "target")


@pytest.fixture(scope="session")
def imports(tmp_path_factory):
    """Case to Import, made when asked for."""

    @functools.cache
    def make(name):
        return Import(CASES[name], tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    for name in SPOILED:
        runs.write(CASES[name], root / name)
    return root


class Run:
    """A copy of a run that a test may spoil."""

    def __init__(self, original, folder):
        shutil.copytree(original, folder)
        self.folder = folder
        self.run, self.target = folder / "run", folder / "target"
        self.out = folder / "out"
        self.checkpoint = self.run / "model_1000.pth"

    def edit_yaml(self, edit, path=None):
        path = path or self.run / "final_config.yaml"
        config = yaml.safe_load(path.read_text())
        edit(config)
        path.write_text(yaml.safe_dump(config))

    def edit_state(self, edit):
        state = torch.load(self.checkpoint, weights_only=True)
        edit(state)
        torch.save(state, self.checkpoint)

    def convert(self, **options):
        options = {"target": self.target, **options}
        return import_run(self.run, self.out, **options)

    def refused(self, pattern, **options):
        before = sorted(os.listdir(self.folder))
        with pytest.raises(Refused, match=pattern) as caught:
            self.convert(**options)
        assert sorted(os.listdir(self.folder)) == before
        return str(caught.value)


@pytest.fixture
def spoil(originals, tmp_path):
    """A fresh copy of one of SPOILED, by name."""
    return lambda name=SPOILED[0]: Run(originals / name, tmp_path / "case")
