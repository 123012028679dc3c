"""Robust mode on real models: what it finds, shows and certifies."""

import json

import pytest

import spar
from spar.certificate import canonical_json, content_digest
from spar.verify import BORDERLINE, INVALID, VALID, verify
from spard_process import PATIENCE
from spard_process import spar as spar_program

PROMPT = [7, 2, 33, 41, 7]
ATTACK = {"attack_step_count": 5, "attack_restart_count": 3, "attack_step_size": 0.2}
KINDS = (
    {"unit_scheme": "head+neuron"},
    {"unit_scheme": "subcomponent", "decomposition": "main"},
    {"unit_scheme": "node", "decomposition": "main"},
)


@pytest.fixture(scope="module")
def client(decomposed):
    with spar.Client(decomposed.address, model="tiny", timeout=PATIENCE) as made:
        yield made


def explain(client, **options):
    search = client.crystallize(PROMPT, mode="sufficient", sparse_fraction=1, **options)
    list(search)
    return search.explanation


@pytest.fixture(scope="module")
def robust(client):
    """[(kind, Explanation)]"""
    return [(kind, explain(client, **ATTACK, **kind)) for kind in KINDS]


def test_sets_hold_against_the_declared_attack(robust):
    held = 0
    for kind, explanation in robust:
        found = explanation.robustness
        assert (found.step_count, found.restart_count) == (5, 3), kind
        assert found.step_size == pytest.approx(0.2)
        assert [point.step_count for point in found.plain_curve] == [0, 1, 5]
        lowest = [point.worst_margin for point in found.plain_curve]
        assert lowest == sorted(lowest, reverse=True)
        if not found.holds:
            continue
        held += 1
        assert all(point.worst_margin > 0 for point in found.curve)
        assert explanation.kept_unit_count >= 1
        if found.plain_curve[-1].worst_margin > 0:
            assert explanation.kept_unit_count == found.plain_unit_count
    assert held >= 2


def test_the_certificate_states_the_attack_and_is_verified(robust, client, decomposed):
    certified = [e for _, e in robust if e.HasField("certificate")]
    assert len(certified) >= 2
    for explanation in certified:
        text = explanation.certificate.canonical_json
        attack = json.loads(text)["attack"]
        assert (attack["steps"], attack["restarts"]) == (5, 3)
        told = client.verify(text)
        assert told.verdict in (1, 2), list(told.findings)
        report = verify(text, decomposed.model, decomposition=decomposed.folder)
        assert report.verdict in (VALID, BORDERLINE), report.findings
        # Each point of the attack counts, beside the rows of a plain check.
        assert report.rows > 3 * 6


def forged(text, change):
    content = json.loads(text)
    change(content)
    del content["digest"]
    content["digest"] = content_digest(content)
    return canonical_json(content)


def raise_worst(content):
    content["attack"]["margin"] = str(float(content["attack"]["margin"]) + 1)


def lower_worst(content):
    content["attack"]["margin"] = "-1"


def weaken(content):
    content["attack"]["steps"] = 0


def forget_a_deletion(content):
    content["attack"]["unit_deletion_margins"].pop()


def leave_out_a_unit(content):
    for name in ("units", "unit_names", "unit_deletion_margins"):
        content[name].pop()
    content["attack"]["unit_deletion_margins"].pop()


@pytest.mark.parametrize(
    "change", [raise_worst, lower_worst, weaken, forget_a_deletion, leave_out_a_unit])
def test_both_verifiers_refuse_forged_attacks(robust, client, decomposed, change):
    certified = [e for _, e in robust if e.HasField("certificate")]
    for explanation in certified:
        text = forged(explanation.certificate.canonical_json, change)
        assert client.verify(text).verdict == 3
        report = verify(text, decomposed.model, decomposition=decomposed.folder)
        assert report.verdict == INVALID


def test_a_plain_question_states_none(client):
    explanation = explain(client)
    assert not explanation.HasField("robustness")
    assert explanation.HasField("complement_margin")
    assert "attack" not in json.loads(explanation.certificate.canonical_json)


def test_the_command_line_names_the_three_numbers(decomposed):
    found = spar_program(
        "--server", decomposed.address, "--model", "tiny", "crystallize",
        "w7 w2 w33 w41 w7", "--mode", "sufficient", "--sparse-fraction", "1",
        "--attack-steps", "5", "--attack-restarts", "3", "--attack-step-size", "0.2")
    assert found.returncode == 0, found.stdout + found.stderr
    for words in ("5 steps", "0.2", "3 starts"):
        assert words in found.stdout, found.stdout
