"""Every import is opened by the server's own reader, which checks all of it."""

import hashlib
import json
import os
import subprocess

import pytest

import runs
from cases import CASES
from numpy_decomposition import read_tensors
from spar.import_spd import import_run


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Case to (folder, Summary, what the server's reader says)."""
    root = tmp_path_factory.mktemp("opened")
    folders, summaries = [], []
    for name, case in CASES.items():
        folder = root / name
        runs.write(case, folder)
        summaries.append(
            import_run(folder / "run", folder / "out", target=folder / "target")
        )
        folders.append(folder / "out")
    probe = subprocess.run(
        [os.environ["SPAR_OPEN_PROBE"], *map(str, folders)],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(probe.stdout)
    return dict(
        zip(CASES, zip(folders, summaries, answers, strict=True), strict=True)
    )


@pytest.mark.parametrize("name", list(CASES))
def test_the_server_reads_what_was_written(opened, name):
    folder, summary, answer = opened[name]
    assert "error" not in answer, answer["error"]
    assert sorted(answer["modules"]) == sorted(summary.components)
    assert answer["components"] == sum(summary.components.values())
    assert answer["model_digest"] == summary.weights_digest


@pytest.mark.parametrize("name", list(CASES))
def test_digests_are_what_the_format_says(opened, name):
    folder, _, answer = opened[name]
    sums = hashlib.sha256()
    tensors = read_tensors(folder / "decomposition" / "decomposition.safetensors")
    for tensor, held in sorted(tensors.items()):
        shape = ",".join(map(str, held.shape))
        sums.update(f"{tensor}\0F32\0{shape}\0".encode())
        sums.update(held.astype("<f4").tobytes())
    assert answer["weights_digest"] == sums.hexdigest()

    stated = json.loads((folder / "decomposition" / "decomposition.json").read_text())
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
