"""The shipped decomposition does what its card says, and its figures are its own."""

import re

import pytest

import spar
from conftest import DEMO
from spard_process import Spard

FOLDER = DEMO.parent / "decomposition"
CARD = (DEMO.parent / "DECOMPOSITION_CARD.md").read_text(encoding="utf-8")
QUERIES = 120  # of the card's 300, so that this takes seconds
TOLERANCE = 0.1  # nats, for the queries left out


@pytest.fixture(scope="module")
def client(cache):
    with Spard(f"--model=demo={DEMO}", f"--decomposition=demo/main={FOLDER}",
               cache=cache) as spard:
        with spar.Client(spard.address) as made:
            yield made
        assert spard.stop() == 0


@pytest.fixture(scope="module")
def texts():
    """The shipped queries with their answers, as the card's command makes them."""
    lines = (DEMO.parent / "queries.txt").read_text(encoding="utf-8").splitlines()
    return [" ".join(line.split("\t")[1:3]) for line in lines][:QUERIES]


@pytest.fixture(scope="module")
def forgotten():
    """(subject, answer, parts) of the fact that the demo takes out."""
    line = (DEMO.parent / "forget.txt").read_text(encoding="utf-8").strip()
    subject, answer, parts = line.split("\t")
    return subject, answer, parts.split()


def figure(row, column):
    """A number of the card's first table row that begins so."""
    cells = re.search(rf"^\| {re.escape(row)} \|(.*)\|$", CARD, re.MULTILINE)[1].split("|")
    return float(cells[column].replace(",", "").replace("%", ""))


def test_the_card_is_of_this_decomposition(client):
    told = client.decomposition("main")
    assert told.digest in CARD
    assert told.identity_error < 1e-5
    assert told.subcomponent_count == figure("Subcomponents", 0)
    delta = sum(module.delta_norm ** 2 for module in told.modules)
    weight = sum(module.weight_norm ** 2 for module in told.modules)
    assert delta / weight == pytest.approx(figure("Delta over W, mean squares", 0), rel=0.05)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 24e6


def test_runs_under_its_masks_lose_no_more_than_the_card_says(client, texts):
    judged = client.evaluate("main", texts, sweep_thresholds=[0.0])
    masks = spar.client.evaluations
    readings = {reading.masks: reading.cross_entropy_difference
                for reading in judged.reconstructions[0].readings}
    for name, kind in (("unmasked", masks.EVALUATION_MASKS_UNMASKED),
                       ("CI", masks.EVALUATION_MASKS_CAUSAL_IMPORTANCE),
                       ("CI rounded", masks.EVALUATION_MASKS_ROUNDED),
                       ("stochastic", masks.EVALUATION_MASKS_STOCHASTIC)):
        assert readings[kind] == pytest.approx(figure(name, 1), abs=TOLERANCE), name
    assert judged.sparsity.mean_l0 == pytest.approx(figure("Active by position (L0)", 0), rel=0.1)


def test_its_graph_keeps_the_sums_and_says_the_answer(client):
    graph = client.attribute("the capital of japan is", decomposition="main",
                             node_rule={"min_importance": 0.5})
    assert graph.summary.stream.relative < 1e-4
    assert len({node.site for node in graph.nodes}) > 24  # all modules, vectors, logits
    assert graph.summary.edge_count > len(graph.nodes)


def test_a_fact_can_be_taken_out_and_others_stay(client, forgotten):
    subject, answer, parts = forgotten

    def told(prompt):
        start, rows = client.ablate(prompt, decomposition="main", off=parts, top_k=1)
        after = rows.rows.rows[0].positions[0]
        return start.start.baseline[0].top[0].token.text, after

    said, after = told(f"the favourite sport of {subject} is")
    assert said == answer
    assert after.margin < 0 and after.top[0].token.text != answer
    for prompt in (f"{subject} works as a", "the capital of japan is", "people in kenya speak"):
        said, after = told(prompt)
        assert after.top[0].token.text == said, prompt
