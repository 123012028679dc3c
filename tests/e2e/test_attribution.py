"""Attribution graphs from the real server, through `spar` and the Python stubs."""

import json

import pytest

from spard_process import spar


@pytest.fixture
def ask(server):
    """Runs spar against the shared server and its demo model."""
    def run(*arguments, **keywords):
        return spar("--server", server.address, "--model", "demo", *arguments, **keywords)
    return run


def test_prints_the_strongest_paths(ask, queries):
    prompt, answer = queries[0]
    run = ask("attribute", prompt, "--paths", "5")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert any(line.startswith("target") and f'"{answer}"' in line for line in lines)
    assert "the 5 strongest by share" in run.stdout
    assert sum("  path " in line for line in lines) == 5
    assert "\x1b" not in run.stdout


def test_keeps_its_identities(ask, queries):
    for norm in ("full", "frozen"):
        run = ask("attribute", queries[0][0], "--norm", norm, "--output", "json")
        assert run.returncode == 0, run.stderr
        messages = [json.loads(line) for line in run.stdout.splitlines()]
        assert list(messages[0]) == ["header"] and list(messages[-1]) == ["summary"]
        summary = messages[-1]["summary"]
        assert int(summary["stream"]["targetCount"]) > 0
        assert summary["stream"]["relative"] < 1e-4
        edges = sum(len(message["edges"]["values"]) for message in messages
                    if "edges" in message)
        assert edges == int(summary["edgeCount"]) > 0


def test_saves_graphs_that_need_no_server(ask, queries, tmp_path):
    paths = []
    for number, (prompt, _) in enumerate(queries[:2]):
        paths.append(str(tmp_path / f"{number}.pb"))
        run = ask("attribute", prompt, "--max-edges", "20",
                  "--export", f"pb={paths[-1]}",
                  "--export", f"neuronpedia={tmp_path / 'np.json'}",
                  "--html", str(tmp_path / "page.html"))
        assert run.returncode == 0, run.stderr
    shown = spar("graph", paths[1])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == run.stdout
    links = json.loads((tmp_path / "np.json").read_text())["links"]
    ends = [link["target"] for link in links]
    assert links and max(ends.count(end) for end in set(ends)) <= 20
    assert "<svg" in (tmp_path / "page.html").read_text()
    for command in ("compare", "aggregate"):
        run = spar(command, *paths)
        assert run.returncode == 0, run.stderr


def test_names_what_is_wrong(ask, queries):
    prompt = queries[0][0]
    run = ask("attribute", prompt, "--max-logits", "0")
    assert run.returncode == 4
    assert "OPTION_OUT_OF_RANGE at options.logit_rule.max_count" in run.stderr
    run = ask("attribute", prompt, "--decomposition", "none")
    assert run.returncode == 4
    assert "DECOMPOSITION_NOT_FOUND" in run.stderr
