"""A search ends when its client does. The slow server takes one at a time, so
that the next one being accepted proves that the former is gone."""

import signal
import time

import pytest

import spar
from spard_process import PATIENCE, Lines, start_spar

ENDLESS = {"mode": "sufficient", "improvement_round_count": 100}


def start_search(client, prompt):
    """A search that the server has begun: its first event is here."""
    search = client.crystallize(prompt, **ENDLESS)
    assert next(search).sequence == 1
    return search


def assert_accepts_a_search(server, prompt):
    """Starts a search as soon as the server takes one; then cancels it."""
    deadline = time.monotonic() + PATIENCE
    with spar.Client(server.address) as client:
        while True:
            try:
                start_search(client, prompt).cancel()
                return
            except spar.Error as error:
                assert error.reason == "TOO_MANY_SEARCHES"
                assert time.monotonic() < deadline, "the former search lives on"


def assert_no_calls(server):
    deadline = time.monotonic() + PATIENCE
    while server.live_calls() > 0:
        assert time.monotonic() < deadline, "calls live on"


def spar_in_mid_search(server, prompt):
    process = start_spar("--server", server.address, "crystallize", prompt, "--progress",
                         "--mode", "sufficient", "--improvement-rounds", "100")
    Lines(process.stderr).until(r"\|S\|")
    return process


def test_a_second_search_is_refused_while_one_runs(slow_server, slow_prompt):
    with spar.Client(slow_server.address) as client:
        with start_search(client, slow_prompt):
            assert slow_server.live_calls() == 1
            with pytest.raises(spar.Error) as error:
                list(client.crystallize(slow_prompt, **ENDLESS))
    assert (error.value.code, error.value.reason) == (
        "RESOURCE_EXHAUSTED", "TOO_MANY_SEARCHES")


def test_cancelling_frees_the_server(slow_server, slow_prompt):
    with spar.Client(slow_server.address) as client:
        start_search(client, slow_prompt).cancel()
    assert_accepts_a_search(slow_server, slow_prompt)
    assert_no_calls(slow_server)


def test_a_deadline_frees_the_server(slow_server, slow_prompt):
    with spar.Client(slow_server.address) as client:
        with pytest.raises(spar.Error) as error:
            list(client.crystallize(slow_prompt, timeout=0.1, **ENDLESS))
    assert error.value.code == "DEADLINE_EXCEEDED"
    assert_accepts_a_search(slow_server, slow_prompt)


def test_ctrl_c_cancels_on_the_server(slow_server, slow_prompt):
    process = spar_in_mid_search(slow_server, slow_prompt)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    assert process.stdout.read() == ""
    assert_accepts_a_search(slow_server, slow_prompt)


def test_a_client_that_disappears_frees_the_server(slow_server, slow_prompt):
    process = spar_in_mid_search(slow_server, slow_prompt)
    process.kill()
    process.wait(timeout=PATIENCE)
    assert_accepts_a_search(slow_server, slow_prompt)
    assert_no_calls(slow_server)


def test_a_time_budget_ends_with_the_best_verified_set(slow_server, slow_prompt):
    with spar.Client(slow_server.address) as client:
        result = client.crystallize(slow_prompt, max_duration=0.05, **ENDLESS).explanation
    assert spar.client.explanations.Verdict.Name(result.verdict) == "VERDICT_BUDGET_EXHAUSTED"
