"""Prunings from the real server, through `spar` and the Python client, with their
graphs and certificates."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import spar
from conftest import ROOT
from decomposed import PROMPT, QUICK_OPTIONS, TEXT
from spar.client import attributions, explanations
from spar.nodes import refs_of_explanation
from spar.verify import INVALID, verify
from spard_process import PATIENCE, Lines, environment, start_spar

OTHER = [3, 9, 9, 20]
PRICES = [1e-4, 0.1, 3.0]
QUICK = {"step_count": 60, "learning_rate": 0.05, "masks": "causal_importance"}
SEARCH = {"sparse_fraction": 1, "improvement_round_count": 0}


@pytest.fixture(scope="module")
def client(decomposed):
    with spar.Client(decomposed.address, model="tiny", timeout=PATIENCE) as made:
        yield made


@pytest.fixture(scope="module")
def pruning(client):
    """Two prompts at three prices, crystallized; all its messages read."""
    made = client.prune([PROMPT, {"prompt": OTHER, "position": 2}], decomposition="main",
                        coefficients=PRICES, crystallize=SEARCH, **QUICK)
    made.messages = list(made)
    return made


def test_python_gets_every_row_and_its_curve(pruning, client):
    header = pruning.header
    assert header.model == "models/tiny" and header.decomposition == "main"
    assert [[token.id for token in prompt.tokens] for prompt in header.prompts] == [PROMPT, OTHER]
    assert [prompt.position for prompt in header.prompts] == [4, 2]
    assert list(header.coefficients) == pytest.approx(PRICES)
    assert header.options.step_count == 60
    kinds = [type(message).__name__ for message in pruning.messages]
    assert kinds.count("PrunedRow") == kinds.count("PrunedExplanation") == 6
    for number, row in enumerate(pruning.rows):
        assert (row.prompt_index, row.coefficient_index) == divmod(number, len(PRICES))
        nodes = row.nodes
        assert len(nodes.sites) == len(nodes.positions) == len(nodes.subcomponents)
        assert len(nodes.importances) == row.node_count <= row.start_node_count
        assert all(0 < g <= 1 for g in nodes.importances)
        assert not row.HasField("attacked_run")
    for prompt, curve in enumerate(pruning.summary.curves):
        sizes = [point.node_count for point in curve.points]
        assert sizes == sorted(sizes)
        for point in curve.points:
            row = pruning.rows[prompt * len(PRICES) + point.coefficient_index]
            assert point.node_count == row.node_count
            assert point.cross_entropy == pytest.approx(row.rounded_run.cross_entropy)
        assert any(point.on_frontier for point in curve.points)
    # Dearer importance leaves less of it.
    first = [row.node_count for row in pruning.rows[:3]]
    assert first[2] < first[0]
    said = client.predict(PROMPT, top_k=1).predictions[0].top[0].token.id
    assert pruning.rows[0].target.id == said
    assert pruning.rows[0].target_run.margin > 0


def test_a_row_is_the_same_among_others(pruning, client):
    again = client.prune([OTHER[:3], PROMPT], decomposition="main", coefficients=[0.1],
                         **QUICK)
    nodes, others = again.rows[1].nodes, pruning.rows[1].nodes
    for column in ("sites", "positions", "subcomponents"):
        assert getattr(nodes, column) == getattr(others, column)
    assert list(nodes.importances) == pytest.approx(list(others.importances), abs=1e-4)
    assert again.explanations == []


def test_rounded_runs_are_what_an_ablation_says(pruning, client):
    """The row's nodes 1 and all else 0, through another service."""
    row = pruning.rows[0]
    names = [site.name for site in pruning.header.sites]
    off = [{"part": f"{module.name}#{part}", "factor": 0}
           for module in client.decomposition("main").modules
           for part in ("subcomponent=*", "delta")]
    on = [{"part": f"{names[site]}#subcomponent={index}", "position": position, "offset": 1}
          for site, position, index in zip(row.nodes.sites, row.nodes.positions,
                                           row.nodes.subcomponents, strict=True)]
    responses = list(client.ablate(PROMPT, off=off + on, masks="unmasked",
                                   decomposition="main", target=row.target.id))
    read = responses[1].rows.rows[0].positions[0]
    assert read.margin == pytest.approx(row.rounded_run.margin, abs=1e-3)
    assert read.kl_divergence == pytest.approx(row.rounded_run.kl_divergence, abs=1e-3)


def test_an_adversary_is_told_of(client):
    made = client.prune([PROMPT], decomposition="main", coefficients=[0.01],
                        adversary={"step_count": 3, "restart_count": 2}, **QUICK)
    row = made.rows[0]
    assert made.header.options.adversary.step_count == 3
    assert row.attacked_run.margin <= row.masked_run.margin + 1e-4
    assert row.losses.attacked > 0


def test_certificates_of_rows_are_verified_by_everyone(pruning, client, decomposed):
    certified = [row.explanation for row in pruning.explanations
                 if row.explanation.HasField("certificate")]
    assert len(certified) >= 3
    for explanation in certified:
        text = explanation.certificate.canonical_json
        assert json.loads(text)["unit_scheme"] == "node+delta"
        told = client.verify(text)
        found = verify(text, decomposed.model, decomposition=decomposed.folder)
        assert found.verdict != INVALID, found.findings
        assert told.margin == pytest.approx(found.margin, abs=1e-8)
    counts = [point.crystallized_node_count for curve in pruning.summary.curves
              for point in curve.points if point.HasField("crystallized_node_count")]
    assert sorted(counts) == sorted(
        row.explanation.kept_unit_count for row in pruning.explanations
        if row.explanation.kept_unit_count)


def test_python_draws_graphs_of_rows_and_explanations(pruning, client):
    row = pruning.rows[pruning.chosen()]
    refs = pruning.node_refs(row)
    graph = client.attribute(PROMPT, decomposition="main", nodes=refs)
    kind = attributions.ATTRIBUTION_NODE_KIND_SUBCOMPONENT
    assert sum(node.kind == kind for node in graph.nodes) == len(refs)
    explanation = client.crystallize(
        PROMPT, decomposition="main", unit_scheme="subcomponent", mode="sufficient",
        **SEARCH).explanation
    graph = client.attribute(PROMPT, decomposition="main", nodes=explanation)
    told = sum(node.kind == kind for node in graph.nodes)
    parts = [unit for unit in explanation.units if unit.module != "wte"]
    assert told == len(parts) * len(explanation.positions) > 0
    heads = client.crystallize(PROMPT, mode="sufficient", **SEARCH).explanation
    graph = client.attribute(PROMPT, nodes=heads)
    named = (attributions.ATTRIBUTION_NODE_KIND_HEAD, attributions.ATTRIBUTION_NODE_KIND_NEURON)
    told = sum(node.kind in named for node in graph.nodes)
    assert told == len(heads.units) * len(heads.positions) > 0


def test_units_told_by_number_are_the_same_nodes(pruning, client):
    """Large sets have no names: their numbers must mean the same."""
    modules = client.decomposition("main").modules
    found = [row.explanation for row in pruning.explanations if row.explanation.units]
    assert found
    for scheme in ("subcomponent", "subcomponent+delta", "node"):
        found.append(client.crystallize(PROMPT, decomposition="main", unit_scheme=scheme,
                                        mode="sufficient", **SEARCH).explanation)
    compared = 0
    for explanation in found:
        numbered = explanations.Explanation()
        numbered.CopyFrom(explanation)
        numbered.ClearField("units")
        try:
            named = refs_of_explanation(explanation, modules)
        except ValueError:
            continue  # Deltas and the embedding alone
        assert refs_of_explanation(numbered, modules) == named
        compared += 1
    assert compared >= 3


def test_initial_units_are_an_option_of_python(pruning, client):
    first = next(row.explanation for row in pruning.explanations[:3]
                 if row.explanation.HasField("certificate"))
    ids = list(first.certificate.unit_ids)
    again = client.crystallize(PROMPT, decomposition="main", unit_scheme="node+delta",
                               mode="sufficient", initial_unit_ids=ids, **SEARCH).explanation
    assert again.kept_unit_count <= len(ids)
    assert again.HasField("certificate")
    with pytest.raises(spar.Error) as error:
        list(client.crystallize(PROMPT, decomposition="main", unit_scheme="node+delta",
                                initial_unit_ids=[10**9]))
    assert (error.value.code, error.value.reason) == ("INVALID_ARGUMENT", "BAD_INITIAL_UNIT")


@pytest.mark.parametrize("change, code, reason, field", (
    ({"decomposition": "none"}, "NOT_FOUND", "DECOMPOSITION_NOT_FOUND", ""),
    ({"decomposition": ""}, "INVALID_ARGUMENT", "NO_DECOMPOSITION", "decomposition"),
    ({"prompts": []}, "INVALID_ARGUMENT", None, "prompts"),
    ({"prompts": [[1]] * 257}, "INVALID_ARGUMENT", "TOO_MANY_PROMPTS", "prompts"),
    ({"prompts": [[1], []]}, "INVALID_ARGUMENT", "EMPTY_PROMPT", "prompts[1].prompt"),
    ({"prompts": [[1, 99]]}, "INVALID_ARGUMENT", "TOKEN_OUT_OF_RANGE",
     "prompts[0].prompt.tokens.ids[1]"),
    ({"prompts": [{"prompt": [1], "position": 1}]}, "INVALID_ARGUMENT",
     "POSITION_OUT_OF_RANGE", "prompts[0].position"),
    ({"prompts": [{"prompt": [1], "target": "w1 w2"}]}, "INVALID_ARGUMENT",
     "NOT_ONE_TOKEN", "prompts[0].target_text"),
    ({"prompts": [{"prompt": [1], "target": 50}]}, "INVALID_ARGUMENT",
     "TOKEN_OUT_OF_RANGE", "prompts[0].target_id"),
    ({"coefficients": [-1]}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE", "coefficients[0]"),
    ({"coefficients": [1] * 65}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE", "coefficients"),
    ({"step_count": 20001}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE", "options.step_count"),
    ({"learning_rate": float("nan")}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE",
     "options.learning_rate"),
    ({"norm": {"power": 0}}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE", "options.norm.power"),
    ({"adversary": {"restart_count": 17}}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE",
     "options.adversary.restart_count"),
    ({"crystallize": {"tau": -1}}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE",
     "crystallize.tau"),
    ({"crystallize": {"unit_scheme": "head"}}, "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE",
     "crystallize.unit_scheme"),
    ({"crystallize": {"initial_unit_ids": [1]}}, "INVALID_ARGUMENT", None,
     "crystallize.initial_unit_ids"),
))
def test_bad_requests_name_their_field(client, change, code, reason, field):
    request = {"prompts": [PROMPT], "decomposition": "main", **change}
    with pytest.raises(spar.Error) as error:
        list(client.prune(request.pop("prompts"), **request))
    assert error.value.code == code, error.value
    if reason is not None:
        assert error.value.reason == reason
    assert error.value.field == field or not field, error.value


def test_unknown_options_are_refused_without_the_server(client):
    for bad in ({"steps": 3}, {"crystallize": {"units": 3}}):
        with pytest.raises(TypeError):
            client.prune([PROMPT], decomposition="main", **bad)
    with pytest.raises(ValueError, match="PruneLoss"):
        client.prune([PROMPT], decomposition="main", loss="hinge")
    with pytest.raises(TypeError):
        client.prune(TEXT, decomposition="main")


def assert_no_calls(server):
    deadline = time.monotonic() + PATIENCE
    while server.live_calls() > 0:
        assert time.monotonic() < deadline, "calls live on"


def test_cancelling_frees_the_server(client, decomposed):
    with client.prune([PROMPT] * 4, decomposition="main", step_count=20000) as endless:
        assert type(next(endless)).__name__ == "PruneProgress"
    assert_no_calls(decomposed.spard)
    with pytest.raises(spar.Error) as error:
        list(endless)
    assert error.value.code == "CANCELLED"


def test_a_deadline_ends_a_pruning(client, decomposed):
    with pytest.raises(spar.Error) as error:
        list(client.prune([PROMPT] * 4, decomposition="main", step_count=20000, timeout=0.5))
    assert error.value.code == "DEADLINE_EXCEEDED"
    assert_no_calls(decomposed.spard)


def test_ctrl_c_cancels_on_the_server(decomposed):
    process = start_spar("--server", decomposed.address, "--model", "tiny", "prune", TEXT, TEXT,
                         "--decomposition", "main", "--steps", "20000", "--progress")
    Lines(process.stderr).until(r"rows 0/2  steps ")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    assert process.stdout.read() == ""
    assert_no_calls(decomposed.spard)


def test_the_command_line_shows_curve_choice_and_map(ask):
    run = ask("prune", TEXT, *QUICK_OPTIONS)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("pruned     1 prompt at 3 prices, nodes of main; ")
    assert f"prompt     {TEXT}" in lines
    table = next(i for i, line in enumerate(lines) if line.split()[:2] == ["row", "coefficient"])
    rows = [line.split() for line in lines[table + 1:table + 4]]
    assert sorted(row[0] for row in rows) == ["0", "1", "2"]
    sizes = [int(row[2].replace(",", "")) for row in rows]
    assert sizes == sorted(sizes)
    chosen = next(line for line in lines if line.startswith("chosen "))
    assert re.search(r"row \d: ", chosen)
    assert any(re.match(r"\d \"w\d+\" +\d+  (wte|h\.)", line) for line in lines), run.stdout
    assert "\x1b" not in run.stdout and run.stderr == ""


def test_certificates_go_to_files_and_verify(ask, decomposed, cache, tmp_path):
    pattern = str(tmp_path / "row-{row}.json")
    options = ("prune", TEXT, *QUICK_OPTIONS, "--crystallize", "--sparse-fraction", "1")
    run = ask(*options, "--certificate", pattern)
    assert run.returncode in (0, 3), run.stderr
    assert "certified" in run.stdout
    paths = [path for path in sorted(tmp_path.glob("row-*.json")) if path.stat().st_size]
    assert paths
    if run.returncode == 0:
        assert len(paths) == 3
    checked = ask("verify", str(paths[0]))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for command in (
            [os.environ["SPARD"], "verify", paths[0], "--model", decomposed.model,
             "--decomposition", decomposed.folder, "--cache-dir", cache],
            [sys.executable, ROOT / "client/python/spar_verify.py", paths[0],
             decomposed.model, "--decomposition", decomposed.folder]):
        found = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                               check=False, timeout=PATIENCE, env=environment())
        assert found.returncode == 0, found.stdout + found.stderr
    refused = ask(*options, "--certificate", str(tmp_path / "one.json"))
    assert refused.returncode == 2 and "{row}" in refused.stderr


def test_the_command_line_refuses_counts_that_do_not_match(ask):
    run = ask("prune", TEXT, "--decomposition", "main", "--target", "w1", "--target", "w2")
    assert run.returncode == 2
    assert "--target is given 2 times for 1 prompts" in run.stderr
    run = ask("prune", TEXT, "--decomposition", "none")
    assert run.returncode == 4
    assert "DECOMPOSITION_NOT_FOUND" in run.stderr
