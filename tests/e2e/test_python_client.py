"""The Python package against the real server."""

import numpy as np
import pytest

import spar
from conftest import DEMO
from spar.client import explanations
from spar.exact_model import margins
from spar.open_model import open_model


def unit_ids(message):
    return list(np.cumsum(message.unit_id_deltas, dtype=int))


def exact_margin(model, tokens, target, units, positions):
    """m(S, T) in float64 by a program that shares nothing with Spar."""
    mask = np.zeros((1, model.num_units), bool)
    mask[0, units] = True
    kept = np.array([positions])
    logits = model.restricted_logits(np.array(tokens)[kept], kept, mask)
    return float(margins(logits, target)[0])


def test_lists_the_models_in_order(client):
    assert [model.name for model in client.models()] == [
        "models/bare", "models/demo", "models/tiny"]


def test_names_the_models_where_one_must_be_chosen(server):
    with spar.Client(server.address) as unnamed, pytest.raises(spar.Error) as error:
        unnamed.predict("x")
    assert error.value.reason == "SEVERAL_MODELS"
    assert "models/tiny" in error.value.message


def test_needs_no_name_where_there_is_one_model(demo_server, queries):
    with spar.Client(demo_server.address) as alone:
        assert alone.tokenize(queries[0][0])


def test_predicts_the_answers_of_the_demo(client, queries):
    right = sum(
        client.predict(prompt, top_k=1).predictions[0].top[0].token.text == answer
        for prompt, answer in queries)
    assert right >= 0.95 * len(queries)


def test_text_and_its_token_ids_are_the_same_prompt(client, queries):
    ids = [token.id for token in client.tokenize(queries[0][0])]
    by_text = client.predict(queries[0][0], top_k=3, every_position=True)
    by_ids = client.predict(ids, top_k=3, every_position=True)
    assert by_text == by_ids
    assert len(by_text.predictions) == len(ids)
    for position, prediction in enumerate(by_text.predictions):
        assert prediction.position == position
        logs = [score.log_probability for score in prediction.top]
        assert logs == sorted(logs, reverse=True)
        is_last = position + 1 == len(ids)
        assert prediction.HasField("next_token_log_probability") != is_last


@pytest.mark.parametrize("mode", ["grounded", "sufficient"])
def test_every_event_is_true_by_independent_arithmetic(client, queries, mode):
    model = open_model(DEMO)
    for prompt, _ in queries[:2]:
        search = client.crystallize(prompt, mode=mode, improvement_round_count=1)
        events = list(search)
        result = search.explanation
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert result.verdict == explanations.VERDICT_CRYSTALLIZED, result.remark
        tokens = [token.id for token in result.prompt]
        for event in events:
            units = unit_ids(event)
            assert units == [unit.id for unit in event.units]
            assert len(units) == event.kept_unit_count
            positions = [position.index for position in event.positions]
            assert positions == sorted(set(positions))
            assert positions[-1] == len(tokens) - 1
            exact = exact_margin(model, tokens, result.target.id, units, positions)
            assert exact > 0.001
            assert event.margin == pytest.approx(exact, abs=1e-3)


def test_an_explanation_says_what_its_certificate_says(client, queries):
    result = client.crystallize(queries[0][0]).explanation
    certificate = result.certificate
    assert unit_ids(result) == list(certificate.unit_ids)
    assert [unit.name for unit in result.units] == list(certificate.unit_names)
    assert [position.index for position in result.positions] == list(certificate.positions)
    assert [token.id for token in result.prompt] == list(certificate.token_ids)
    assert result.margin == pytest.approx(certificate.margin, abs=1e-5)
    assert certificate.margin >= certificate.required_margin
    assert result.precision.sample_count > 0
    assert result.precision.low <= result.precision.value <= result.precision.high
    assert result.remark
    checked = client.verify(certificate.canonical_json)
    assert checked.verdict in (explanations.CERTIFICATE_VERDICT_VALID,
                               explanations.CERTIFICATE_VERDICT_VALID_WITH_BORDERLINE)
    assert checked.largest_difference < 1e-3


def test_explains_a_token_that_the_client_names(client, queries):
    prompt, answer = queries[0]
    named = client.crystallize(prompt, target=answer, mode="sufficient").explanation
    own = client.crystallize(prompt, mode="sufficient").explanation
    assert named.target == own.target
    assert unit_ids(named) == unit_ids(own)
    other = (own.target.id + 1) % 100
    unlikely = client.crystallize(prompt, target=other, mode="sufficient").explanation
    assert unlikely.target.id == other
    assert unlikely.verdict == explanations.VERDICT_UNSTABLE
    assert unlikely.full_margin < 0


def test_a_row_budget_ends_a_search(client, queries):
    result = client.crystallize(queries[0][0], max_row_count=40).explanation
    assert result.verdict == explanations.VERDICT_BUDGET_EXHAUSTED
    assert result.effort.row_count <= 40 + 64


def test_refuses_options_that_do_not_exist(client):
    with pytest.raises(TypeError, match="max_rows"):
        client.crystallize("x", max_rows=3)


def test_leaving_the_block_cancels(client, queries):
    longest = max((prompt for prompt, _ in queries), key=len)
    with client.crystallize(longest) as search:
        next(search)
    with pytest.raises(spar.Error) as error:
        list(search)
    assert error.value.code == "CANCELLED"


def test_raises_when_nobody_listens():
    with spar.Client("127.0.0.1:1") as nobody, pytest.raises(spar.Error) as error:
        nobody.models()
    assert error.value.code == "UNAVAILABLE"
    assert error.value.reason == ""
