"""Explanations by subcomponents and nodes, checked by everyone who can."""

import json
import os
import re
import subprocess
import sys

import pytest

import spar
from conftest import ROOT
from random_model import word
from spar.errors import Error
from spar.verify import INVALID, verify
from spard_process import PATIENCE, environment
from spard_process import spar as spar_program

PROMPT = [7, 2, 33, 41, 7]
KINDS = (
    {"unit_scheme": "subcomponent", "mode": "sufficient"},
    {"unit_scheme": "subcomponent+delta", "mode": "sufficient", "reference": "mean"},
    {"unit_scheme": "node", "mode": "sufficient", "position_mode": "reindex"},
    {"unit_scheme": "node+delta", "mode": "grounded"},
)


@pytest.fixture
def client(decomposed):
    with spar.Client(decomposed.address, model="tiny", timeout=PATIENCE) as made:
        yield made


def explain(client, **options):
    """The Explanation, all of whose events pass."""
    search = client.crystallize(PROMPT, decomposition="main", **options)
    events = list(search)
    explanation = search.explanation
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(event.margin > 0 for event in events)
    return explanation


@pytest.fixture(scope="module")
def certificates(decomposed):
    """[(kind, canonical JSON)] of those questions that end with one."""
    with spar.Client(decomposed.address, model="tiny", timeout=PATIENCE) as client:
        made = [(kind, explain(client, sparse_fraction=1, **kind)) for kind in KINDS]
    return [(kind, explanation.certificate.canonical_json) for kind, explanation in made
            if explanation.HasField("certificate")]


def test_most_kinds_end_in_a_certificate(certificates):
    assert len(certificates) >= 3
    for kind, text in certificates:
        content = json.loads(text)
        assert content["unit_scheme"] == kind["unit_scheme"]
        assert len(content["decomposition_digest"]) == 64
        nodes = kind["unit_scheme"].startswith("node")
        assert all(("@" in name) == nodes for name in content["unit_names"])


def test_the_server_and_the_independent_verifier_agree(certificates, client, decomposed):
    for kind, text in certificates:
        told = client.verify(text)
        found = verify(text, decomposed.model, decomposition=decomposed.folder)
        assert found.verdict != INVALID, (kind, found.findings)
        assert told.margin == pytest.approx(found.margin, abs=1e-8)
        assert told.row_count > 0
        changed = json.loads(text)
        changed["units"] = changed["units"][1:]
        assert verify(json.dumps(changed), decomposed.model,
                      decomposition=decomposed.folder).verdict == INVALID


def test_both_programs_verify_offline(certificates, decomposed, cache, tmp_path):
    path = tmp_path / "certificate.json"
    path.write_text(certificates[0][1], encoding="utf-8")
    for command in (
            [os.environ["SPARD"], "verify", path, "--model", decomposed.model,
             "--decomposition", decomposed.folder, "--cache-dir", cache],
            [sys.executable, ROOT / "client/python/spar_verify.py", path,
             decomposed.model, "--decomposition", decomposed.folder]):
        found = subprocess.run([str(part) for part in command], capture_output=True,
                               text=True, check=False, timeout=PATIENCE,
                               env=environment())
        assert found.returncode == 0, found.stdout + found.stderr
        assert found.stdout.startswith("valid")
    # Without the decomposition nothing can be said for it.
    bare = subprocess.run(
        [os.environ["SPARD"], "verify", str(path), "--model", str(decomposed.model),
         "--cache-dir", str(cache)], capture_output=True, text=True, check=False,
        timeout=PATIENCE, env=environment())
    assert bare.returncode != 0


def test_another_decomposition_does_not_do(certificates, decomposed):
    other = decomposed.folder.parent / "other"
    report = verify(certificates[0][1], decomposed.model, decomposition=other)
    assert report.verdict == INVALID
    assert "decomposition" in report.findings[0]


def test_the_command_line_shows_units_of_a_decomposition(decomposed):
    found = spar_program(
        "--server", decomposed.address, "--model", "tiny", "crystallize",
        " ".join(word(token) for token in PROMPT), "--decomposition", "main", "--units",
        "node", "--mode", "sufficient", "--sparse-fraction", "1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "module:subcomponent" in found.stdout
    kept = next(line for line in found.stdout.splitlines() if line.startswith("4 "))
    assert re.search(r"1  (wte|h\.\d\.[a-z_.]+):\d", kept), found.stdout


@pytest.mark.parametrize("options, code, reason", (
    ({"unit_scheme": "node"}, "INVALID_ARGUMENT",
     "DECOMPOSITION_REQUIRED"),
    ({"unit_scheme": "head", "decomposition": "main"},
     "INVALID_ARGUMENT", "DECOMPOSITION_NOT_WANTED"),
    ({"unit_scheme": "subcomponent", "decomposition": "none"},
     "NOT_FOUND", "DECOMPOSITION_NOT_FOUND"),
))
def test_bad_questions_are_refused(client, options, code, reason):
    with pytest.raises(Error) as caught:
        list(client.crystallize(PROMPT, **options))
    assert (caught.value.code, caught.value.reason) == (code, reason)
