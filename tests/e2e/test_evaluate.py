"""spar evaluate and Client.evaluate against the real server."""

import re
import time
import xml.dom.minidom

import pytest

import spar
from decomposed import PROMPT, TEXT
from random_model import word
from spard_process import PATIENCE

LONG = [(7 * i) % 40 + 1 for i in range(23)]
QUICK = {"attack": {"step_counts": [0, 2], "scopes": ["per_datapoint"]},
         "sweep_thresholds": [0.0, 0.5], "batch_row_count": 3}


@pytest.fixture
def client(decomposed):
    with spar.Client(decomposed.address, model="tiny") as made:
        yield made


@pytest.fixture(scope="module")
def judged(decomposed):
    with spar.Client(decomposed.address, model="tiny") as client:
        evaluation = client.evaluate("main", [PROMPT, LONG], row_length=8, **QUICK)
        evaluation.messages = list(evaluation)
        yield evaluation


def test_every_part_comes(judged):
    header = judged.header
    assert header.name == "models/tiny/decompositions/main"
    assert (header.row_count, header.token_count, header.batch_count) == (4, 28, 2)
    assert len(judged.modules) == len(header.modules) == len(judged.faithfulness.modules)
    kinds = [type(message).__name__ for message in judged.messages]
    assert "EvaluationProgress" in kinds and kinds[-1] == "EvaluatedAttackCurve"
    (table,), (curve,), (attack,) = (
        judged.reconstructions, judged.sparsity_curves, judged.attack_curves)
    assert [reading.masks for reading in table.readings] == list(range(1, 8))
    assert table.readings[0].kl_divergence == pytest.approx(0, abs=1e-6)
    assert all(reading.kl_divergence > 1e-4 for reading in table.readings[1:])
    assert curve.points[0].mean_l0 == pytest.approx(judged.sparsity.mean_l0)
    assert curve.points[0].cross_entropy == table.readings[3].cross_entropy
    assert [point.step_count for point in attack.points] == [0, 2]
    assert attack.points[1].kl_divergence > attack.points[0].kl_divergence
    assert len(judged.output_errors) == len(judged.pattern_errors) == 2
    assert judged.summary.elapsed.ToNanoseconds() > 0


def test_numbers_are_those_of_predictions_and_importances(judged, client, decomposed):
    rows = [PROMPT, LONG[:8], LONG[8:16], LONG[16:]]
    surprise, tokens = 0.0, 0
    for row in rows:
        predicted = client.predict(row, every_position=True, top_k=50).predictions
        for position, following in zip(predicted, row[1:]):
            surprise -= next(candidate.log_probability for candidate in position.top
                             if candidate.token.id == following)
            tokens += 1
    assert judged.reconstructions[0].readings[0].cross_entropy == pytest.approx(
        surprise / tokens, rel=1e-4)
    importances = [decomposed.truth(row) for row in rows]
    for told, module in zip(judged.modules, judged.header.modules):
        g = [importance[module.name][0] for importance in importances]
        assert told.mean_l0 == pytest.approx(sum((x > 0).sum() for x in g) / 28, abs=1e-6)
        means = sum(x.sum(0) for x in g) / 28
        assert list(told.mean_importances) == pytest.approx(means.tolist(), abs=1e-5)


def test_the_same_question_gets_the_same_numbers(judged, client):
    again = client.evaluate("main", [PROMPT, LONG], row_length=8, **QUICK)
    assert again.reconstructions == judged.reconstructions
    assert again.attack_curves == judged.attack_curves


def test_refusals_name_their_field(client):
    for change, reason, field in (
            ({"prompts": [[1]]}, "PROMPT_TOO_SHORT", "prompts[0]"),
            ({"row_length": 1}, "OPTION_OUT_OF_RANGE", "options.row_length"),
            ({"subsets": [{"modules": ["none"]}]}, "UNKNOWN_MODULE",
             "options.subsets[0].modules[0]"),
            ({"attack": {"step_counts": [2, 1]}}, "OPTION_OUT_OF_RANGE",
             "options.attack.step_counts[1]")):
        request = {"prompts": [PROMPT], **change}
        with pytest.raises(spar.Error) as error:
            list(client.evaluate("main", request.pop("prompts"), **request))
        assert (error.value.code, error.value.reason) == ("INVALID_ARGUMENT", reason)
        assert error.value.field == field
    with pytest.raises(TypeError):
        client.evaluate("main", TEXT)
    with pytest.raises(TypeError):
        client.evaluate("main", [PROMPT], steps=3)


def test_cancelling_frees_the_server(client, decomposed):
    endless = {"step_counts": [1000], "restart_count": 16}
    with client.evaluate("main", [LONG], row_length=8, attack=endless) as evaluation:
        next(evaluation)
    with pytest.raises(spar.Error) as error:
        list(evaluation)
    assert error.value.code == "CANCELLED"
    deadline = time.monotonic() + PATIENCE
    while decomposed.spard.live_calls() > 0:
        assert time.monotonic() < deadline, "calls live on"


def test_the_command_line_writes_tables_and_a_report(ask, decomposed, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(word(token) for token in LONG) for _ in range(3)))
    report = tmp_path / "new" / "report"
    run = ask("evaluate", "main", TEXT, "--text", str(text), "--row-length", "10",
              "--subset", "down=h.0.mlp.down_proj", "--attack-steps", "1,3",
              "--report", str(report))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("evaluated  models/tiny/decompositions/main: ")
    for part in ("masks of all modules", "masks of down", "rounded above, down", "unmasked",
                 "CI rounded", "shared across batch", "per datapoint", "h.0.mlp.down_proj"):
        assert part in run.stdout, part
    assert "\x1b" not in run.stdout and run.stderr == ""
    page = (report / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\((\w+\.svg)\)", page)
    assert sorted(pictures) == ["attack.svg", "density.svg", "l0.svg", "sparsity.svg"]
    for picture in pictures:
        xml.dom.minidom.parse(str(report / picture))
    lines = ask("--output", "json", "evaluate", "tiny/main", TEXT, "--no-attack")
    assert lines.returncode == 0, lines.stderr
    assert '"attackCurve"' not in lines.stdout and '"sparsityCurve"' in lines.stdout


def test_the_command_line_refuses_text_without_rows(ask, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    run = ask("evaluate", "main", "--text", str(text))
    assert run.returncode == 2 and "--row-length" in run.stderr
    run = ask("evaluate", "tiny/none", TEXT)
    assert run.returncode == 4 and "DECOMPOSITION_NOT_FOUND" in run.stderr
