"""Every import is opened by the server's own reader, which checks all of it."""

import hashlib
import json
import os
import subprocess

import pytest

from cases import CASES
from numpy_decomposition import read_tensors


@pytest.fixture(scope="module")
def opened(imports):
    """Case to (Import, what the server's reader says)."""
    made = [imports(name) for name in CASES]
    probe = subprocess.run(
        [os.environ["SPAR_OPEN_PROBE"], *(str(one.folder) for one in made)],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = zip(made, json.loads(probe.stdout), strict=True)
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("name", list(CASES))
def test_the_server_reads_what_was_written(opened, name):
    made, answer = opened[name]
    summary = made.summary
    assert "error" not in answer, answer["error"]
    assert sorted(answer["modules"]) == sorted(summary.components)
    assert answer["components"] == sum(summary.components.values())
    assert answer["model_digest"] == summary.weights_digest


@pytest.mark.parametrize("name", list(CASES))
def test_digests_are_what_the_format_says(opened, name):
    made, answer = opened[name]
    folder = made.folder / "decomposition"
    sums = hashlib.sha256()
    tensors = read_tensors(folder / "decomposition.safetensors")
    for tensor, held in sorted(tensors.items()):
        shape = ",".join(map(str, held.shape))
        sums.update(f"{tensor}\0F32\0{shape}\0".encode())
        sums.update(held.astype("<f4").tobytes())
    assert answer["weights_digest"] == sums.hexdigest()

    stated = json.loads((folder / "decomposition.json").read_text())
    canonical = json.loads(answer["canonical_json"])
    modules = {entry["name"]: entry for entry in stated.pop("modules")}
    assert [modules[entry["name"]] for entry in canonical["modules"]] == canonical.pop(
        "modules"
    )
    del stated["training"]
    assert _without_nulls(stated) == _without_nulls(canonical)
    text = answer["canonical_json"]
    whole = f'{{"config":{text},"weights":"{sums.hexdigest()}"}}'
    assert answer["digest"] == hashlib.sha256(whole.encode()).hexdigest()


def _without_nulls(value):
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value
