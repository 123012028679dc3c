"""Ablations through the command line and the Python client."""

import json
import math

import numpy as np
import pytest

import spar
from conftest import DEMO
from spar.open_model import open_model
from spard_process import spar as spar_program


@pytest.fixture
def ask(server):
    def run(*arguments):
        return spar_program("--server", server.address, "--model", "demo", *arguments)
    return run


def rows_of(responses):
    return [row for response in responses for row in response.rows.rows]


def test_a_sweep_agrees_with_an_independent_model(client, queries):
    prompt, answer = queries[0]
    tokens = [token.id for token in client.tokenize(prompt)]
    responses = list(client.ablate(tokens, sweep=["h.0.attn#head=*", "h.1.mlp#neuron=0-3"]))
    start, rows = responses[0].start, rows_of(responses)
    assert start.baseline[0].target.text == answer
    assert len(rows) == start.row_count
    model = open_model(DEMO)
    info = {found.name: found for found in client.models()}["models/demo"]
    per_layer = info.head_count + info.neuron_count
    off = list(range(info.head_count))
    off += [per_layer + info.head_count + i for i in range(4)]
    masks = np.ones((1 + len(off), model.num_units), bool)
    for row, unit in enumerate(off):
        masks[row + 1, unit] = False
    kept = np.tile(np.arange(len(tokens)), (len(masks), 1))
    logits = model.restricted_logits(np.array(tokens)[kept], kept, masks).numpy()
    target = start.baseline[0].target.id
    for row, exact in zip(rows, logits, strict=True):
        others = np.delete(exact, target)
        assert row.positions[0].margin == pytest.approx(exact[target] - others.max(), abs=1e-3)
        log_p = exact - exact.max() - np.log(np.exp(exact - exact.max()).sum())
        assert row.positions[0].target_log_probability == pytest.approx(log_p[target], abs=1e-3)


def test_scaled_parts_and_positions_may_be_given(client, queries):
    part = {"part": "h.0.mlp#neuron=*", "position": 0, "factor": 0.5}
    rows = rows_of(client.ablate(queries[0][0], off=[part], every_position=True, top_k=2))
    assert len(rows) == 1
    assert all(len(position.top) == 2 for position in rows[0].positions)
    assert rows[0].positions[0].kl_divergence > 0


def test_generation_under_the_target_is_what_predict_says(client, queries):
    tokens = [token.id for token in client.tokenize(queries[0][0])]
    rows = rows_of(client.ablate(tokens, generation={"max_token_count": 3}))
    assert len(rows) == 3
    for row in rows:
        best = client.predict(tokens, top_k=1).predictions[0].top[0].token.id
        assert row.generated.id == best
        tokens.append(best)


def test_a_closed_generator_cancels_the_call(client, queries):
    responses = client.ablate(queries[0][0], sweep=["h.0.mlp#neuron=*"] * 20,
                              every_position=True)
    next(responses)
    responses.close()
    assert client.predict(queries[0][0])


def test_errors_name_the_field(client):
    with pytest.raises(spar.Error) as error:
        list(client.ablate([1, 2], off=["h.0.attn#head=99"]))
    assert error.value.reason == "UNKNOWN_PART"
    assert error.value.field == "interventions[0].part"
    with pytest.raises(spar.Error) as error:
        list(client.ablate([1, 2], masks="unmasked"))
    assert error.value.reason == "NO_DECOMPOSITION"


def test_the_command_line_shows_a_line_for_each_run(ask, queries):
    prompt, answer = queries[0]
    run = ask("ablate", prompt, "--sweep", "h.0.attn#head=0-1", "--sweep",
              "h.1.mlp#neuron=3@0:x0.5", "--top-k", "2")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("prompt")
    assert lines[1] == f'target  "{answer}"'
    assert lines[3].startswith("the model itself")
    assert f'"{answer}"' in lines[3]
    assert lines[4].startswith("as asked")
    assert [line.split()[0] for line in lines[5:]] == [
        "h.0.attn#head=0", "h.0.attn#head=1", "h.1.mlp#neuron=3"]
    assert "@0" in lines[7]


def test_the_command_line_writes_json(ask, queries):
    run = ask("ablate", queries[0][0], "--off", "h.0.attn#head=*", "--output", "json")
    assert run.returncode == 0, run.stderr
    start, rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert start["start"]["rowCount"] == "1"
    position = rows["rows"]["rows"][0]["positions"][0]
    assert math.isfinite(position["margin"]) and position["klDivergence"] > 0


def test_the_command_line_refuses_what_it_cannot_read(ask):
    for bad in ("h.0.attn#head=1:y", "h.0.attn#head=1@x", "h.0.attn#head=1@0.5"):
        run = ask("ablate", "--tokens", "1,2", "--off", bad)
        assert run.returncode == 2, run.stdout
    run = ask("ablate", "--tokens", "1,2", "--edit", "5")
    assert run.returncode == 2
    run = ask("ablate", "--tokens", "1,2", "--off", "nothing")
    assert run.returncode == 4
    assert "UNKNOWN_PART" in run.stderr
