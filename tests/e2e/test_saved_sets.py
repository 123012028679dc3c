"""Sets of units saved by `spar prune` and `spar crystallize`, and what they go on
to: graphs and further searches."""

import json

import pytest

from decomposed import PROMPT, QUICK_OPTIONS, TEXT


@pytest.fixture(scope="module")
def saved(ask, tmp_path_factory):
    """The file of `spar prune --save` of PROMPT, crystallized."""
    path = tmp_path_factory.mktemp("pruning") / "pruning.json"
    run = ask("prune", TEXT, *QUICK_OPTIONS, "--save", str(path), "--crystallize",
              "--sparse-fraction", "1", "--improvement-rounds", "0")
    assert run.returncode in (0, 3), run.stderr
    return path


def messages_of(run):
    assert run.returncode in (0, 3), run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def graph_nodes(messages):
    """(part, layer, position, index) of a graph's nodes that a client may name."""
    header = messages[0]["header"]
    nodes = [node for message in messages for node in message.get("nodes", {}).get("nodes", [])]
    sites = header["sites"]
    return {(sites[node.get("site", 0)]["part"], sites[node.get("site", 0)].get("layer", 0),
             node.get("position", 0), node.get("index", 0))
            for node in nodes if node["kind"] == "ATTRIBUTION_NODE_KIND_SUBCOMPONENT"}


def test_the_command_line_writes_json_and_saves_the_same(ask, saved):
    run = ask("prune", TEXT, *QUICK_OPTIONS, "--crystallize", "--sparse-fraction", "1",
              "--improvement-rounds", "0", "--output", "json")
    messages = messages_of(run)
    assert list(messages[0]) == ["header"] and list(messages[-1]) == ["summary"]
    kinds = [next(iter(message)) for message in messages]
    assert kinds.count("row") == kinds.count("explanation") == 3
    again = [json.loads(line) for line in saved.read_text().splitlines()]
    assert [next(iter(message)) for message in again] == [
        "header", *["row"] * 3, *["explanation"] * 3, "summary"]
    by_price = {message["row"].get("coefficientIndex", 0): message["row"]["nodes"]
                for message in messages if "row" in message}
    for message in again[1:4]:
        assert by_price[message["row"].get("coefficientIndex", 0)] == message["row"]["nodes"]


def test_graphs_of_pruned_and_certified_nodes(ask, saved):
    rows = [json.loads(line)["row"] for line in saved.read_text().splitlines()
            if line.startswith('{"row"')]
    sites = json.loads(saved.read_text().splitlines()[0])["header"]["sites"]
    for number, row in enumerate(rows):
        want = {(sites[site]["part"], sites[site].get("layer", 0), position, index)
                for site, position, index in zip(
                    row["nodes"]["sites"], row["nodes"]["positions"],
                    row["nodes"]["subcomponents"], strict=True)
                if sites[site]["part"] != "ATTRIBUTION_PART_EMBEDDING"}
        run = ask("attribute", "--nodes-from", str(saved), "--row", str(number), "--output",
                  "json")
        if not want:
            assert run.returncode == 2 and "none is a node" in run.stderr
            continue
        messages = messages_of(run)
        assert graph_nodes(messages) == want
        assert [token["id"] for token in messages[0]["header"]["prompt"]] == PROMPT
        logits = [node for message in messages for node in message.get("nodes", {}).get("nodes", [])
                  if node["kind"] == "ATTRIBUTION_NODE_KIND_LOGIT"]
        assert [node["index"] for node in logits] == [row["target"]["id"]]
    certified = ask("attribute", "--nodes-from", str(saved), "--row", "0", "--certified",
                    "--output", "json")
    explanation = next(
        json.loads(line)["explanation"]["explanation"] for line in saved.read_text().splitlines()
        if line.startswith('{"explanation"'))
    named = [unit for unit in explanation["units"]
             if unit["kind"] == "subcomponent" and unit["module"] != "wte"]
    assert len(graph_nodes(messages_of(certified))) == len(named)
    shown = ask("attribute", "--nodes-from", str(saved), "--norm", "frozen")
    assert shown.returncode == 0, shown.stderr
    assert "by share" in shown.stdout


@pytest.mark.parametrize("options", (
    ("--decomposition", "main", "--units", "node"),
    ("--decomposition", "main", "--units", "subcomponent+delta"),
    ("--decomposition", "main", "--units", "node+delta", "--attack-steps", "3"),
    ("--units", "head+neuron"),
))
def test_graphs_and_searches_go_on_from_explanations(ask, options, tmp_path):
    search = ("--mode", "sufficient", "--sparse-fraction", "1")
    run = ask("crystallize", TEXT, *options, *search, "--output", "json")
    found = messages_of(run)[-1]["explanation"]
    path = tmp_path / "found.json"
    path.write_text(run.stdout)
    graph = messages_of(ask("attribute", "--nodes-from", str(path), "--output", "json"))
    summary = graph[-1]["summary"]
    assert summary["stream"]["relative"] < 1e-4
    decomposition = graph[0]["header"].get("decomposition", "")
    assert decomposition == ("main" if "main" in options else "")
    again = messages_of(ask("crystallize", "--units-from", str(path), *search,
                            "--output", "json"))[-1]["explanation"]
    assert again["target"] == found["target"] and again["prompt"] == found["prompt"]
    assert again["unitCount"] == found["unitCount"]
    # On the whole prompt the scaffold of nodes may say it alone: PRIOR.
    assert again.get("keptUnitCount", 0) <= found["keptUnitCount"]
    assert again.get("keptUnitCount", 0) > 0 or again["verdict"] == "VERDICT_PRIOR", again


def test_searches_go_on_from_pruned_rows(ask, saved):
    rows = [json.loads(line)["row"] for line in saved.read_text().splitlines()
            if line.startswith('{"row"')]
    found = messages_of(ask(
        "crystallize", "--units-from", str(saved), "--row", "0", "--mode", "sufficient",
        "--sparse-fraction", "1", "--output", "json"))[-1]["explanation"]
    nodes = rows[0]["nodes"]
    sites = json.loads(saved.read_text().splitlines()[0])["header"]["sites"]
    given = {(sites[site]["name"], position, index) for site, position, index in zip(
        nodes["sites"], nodes["positions"], nodes["subcomponents"], strict=True)}
    if float(rows[0]["roundedRun"]["margin"]) > 0.01:
        assert {(unit["module"], unit.get("position", 0), unit.get("index", 0))
                for unit in found["units"]} <= given


def test_saved_sets_are_refused_where_they_do_not_fit(ask, saved, tmp_path):
    for arguments, words in (
            (("crystallize", "--units-from", str(saved), "--units", "head"), "nodes"),
            (("attribute", "--nodes-from", str(saved), "--row", "3"), "no row 3"),
            (("attribute", "--nodes-from", str(tmp_path / "none")), "cannot read"),
            (("attribute", "--nodes-from", str(saved), "--decomposition", "other"),
             "digest")):
        run = ask(*arguments)
        assert run.returncode == 2, run.stderr
        assert words in run.stderr
    broken = tmp_path / "broken.json"
    broken.write_text("".join(saved.read_text().splitlines(keepends=True)[:-1]))
    run = ask("attribute", "--nodes-from", str(broken))
    assert run.returncode == 2 and "summary" in run.stderr
