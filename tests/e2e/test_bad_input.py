"""Every field of every request, with what it may not hold."""

import grpc
import pytest

import spar
from spar.client import explanations, models
from spar.errors import Error

DEMO = "models/demo"
LONG_TEXT = "w " * 131073
OPTION = "OPTION_OUT_OF_RANGE"
NAME = "BAD_RESOURCE_NAME"


def prompt(text=None, ids=None, **fields):
    if ids is not None:
        return models.Prompt(tokens=models.TokenIds(ids=ids), **fields)
    return models.Prompt(text=text, **fields)


def crystallize(**fields):
    fields.setdefault("model", DEMO)
    fields.setdefault("prompt", prompt(ids=[1, 2, 3]))
    return explanations.CrystallizeRequest(**fields)


def with_options(**fields):
    return crystallize(options=explanations.CrystallizeOptions(**fields))


REFUSED = [
    (models.ListModelsRequest(page_size=-1), "PAGE_SIZE_OUT_OF_RANGE", "page_size"),
    (models.ListModelsRequest(page_token="zz"), "BAD_PAGE_TOKEN", "page_token"),
    (models.ListModelsRequest(page_token="\n"), "BAD_PAGE_TOKEN", "page_token"),
    (models.GetModelRequest(), NAME, "name"),
    (models.GetModelRequest(name="demo"), NAME, "name"),
    (models.GetModelRequest(name="models/"), NAME, "name"),
    (models.GetModelRequest(name="models/../demo"), NAME, "name"),
    (models.GetModelRequest(name="models/" + "a" * 5000), NAME, "name"),
    (models.TokenizeRequest(text="x"), NAME, "model"),
    (models.TokenizeRequest(model=DEMO, text=LONG_TEXT), "TEXT_TOO_LONG", "text"),
    (models.PredictRequest(prompt=prompt("x")), NAME, "model"),
    (models.PredictRequest(model=DEMO), "EMPTY_PROMPT", "prompt"),
    (models.PredictRequest(model=DEMO, prompt=prompt("")), "EMPTY_PROMPT", "prompt"),
    (models.PredictRequest(model=DEMO, prompt=prompt(ids=[])), "EMPTY_PROMPT", "prompt"),
    (models.PredictRequest(model=DEMO, prompt=prompt(LONG_TEXT)), "TEXT_TOO_LONG",
     "prompt.text"),
    (models.PredictRequest(model=DEMO, prompt=prompt(ids=[1] * 5000)), "PROMPT_TOO_LONG",
     "prompt"),
    (models.PredictRequest(model=DEMO, prompt=prompt("x " * 5000)), "PROMPT_TOO_LONG",
     "prompt"),
    (models.PredictRequest(model=DEMO, prompt=prompt(ids=[1, -1])), "TOKEN_OUT_OF_RANGE",
     "prompt.tokens.ids[1]"),
    (models.PredictRequest(model=DEMO, prompt=prompt(ids=[2**31 - 1])),
     "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[0]"),
    (models.PredictRequest(model=DEMO, prompt=prompt("x"), top_k=-1), "TOP_K_OUT_OF_RANGE",
     "top_k"),
    (models.PredictRequest(model=DEMO, prompt=prompt("x"), top_k=101), "TOP_K_OUT_OF_RANGE",
     "top_k"),
    (crystallize(model=""), NAME, "model"),
    (crystallize(prompt=None), "EMPTY_PROMPT", "prompt"),
    (crystallize(prompt=prompt(ids=[-1])), "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[0]"),
    (crystallize(prompt=prompt(ids=[1] * 5000)), "PROMPT_TOO_LONG", "prompt"),
    (crystallize(target_id=-1), "TOKEN_OUT_OF_RANGE", "target_id"),
    (crystallize(target_id=2**31 - 1), "TOKEN_OUT_OF_RANGE", "target_id"),
    (crystallize(target_text=""), "NOT_ONE_TOKEN", "target_text"),
    (crystallize(target_text="x y"), "NOT_ONE_TOKEN", "target_text"),
    (crystallize(target_text=LONG_TEXT), "TEXT_TOO_LONG", "target_text"),
    (with_options(mode=99), OPTION, "options.mode"),
    (with_options(unit_scheme=-1), OPTION, "options.unit_scheme"),
    (with_options(reference=99), OPTION, "options.reference"),
    (with_options(position_mode=99), OPTION, "options.position_mode"),
    (with_options(tau=-0.001), OPTION, "options.tau"),
    (with_options(tau=100.5), OPTION, "options.tau"),
    (with_options(tau=float("nan")), OPTION, "options.tau"),
    (with_options(tau=float("inf")), OPTION, "options.tau"),
    (with_options(precision_threshold=0.4), OPTION, "options.precision_threshold"),
    (with_options(precision_threshold=1.1), OPTION, "options.precision_threshold"),
    (with_options(margin_share=-0.1), OPTION, "options.margin_share"),
    (with_options(margin_share=1.1), OPTION, "options.margin_share"),
    (with_options(contrast_threshold=-0.1), OPTION, "options.contrast_threshold"),
    (with_options(contrast_threshold=1.1), OPTION, "options.contrast_threshold"),
    (with_options(attack_step_count=-1), OPTION, "options.attack_step_count"),
    (with_options(attack_step_size=0.0), OPTION, "options.attack_step_size"),
    (with_options(attack_restart_count=0), OPTION, "options.attack_restart_count"),
    (with_options(sparse_fraction=0.0), OPTION, "options.sparse_fraction"),
    (with_options(sparse_fraction=1.1), OPTION, "options.sparse_fraction"),
    (with_options(max_row_count=-1), OPTION, "options.max_row_count"),
    (with_options(max_duration={"seconds": 0}), OPTION, "options.max_duration"),
    (with_options(max_duration={"seconds": -5}), OPTION, "options.max_duration"),
    (with_options(max_duration={"seconds": 2**60}), OPTION, "options.max_duration"),
    (with_options(max_duration={"seconds": 1, "nanos": -1}), OPTION,
     "options.max_duration"),
    (with_options(target_unit_count=-1), OPTION, "options.target_unit_count"),
    (with_options(improvement_round_count=-1), OPTION, "options.improvement_round_count"),
    (with_options(improvement_round_count=101), OPTION, "options.improvement_round_count"),
    (with_options(seed=-1), OPTION, "options.seed"),
    (explanations.VerifyRequest(certificate_json="{}"), NAME, "model"),
    (explanations.VerifyRequest(model=DEMO), "BAD_CERTIFICATE", None),
    (explanations.VerifyRequest(model=DEMO, certificate_json="{"), "BAD_CERTIFICATE", None),
    (explanations.VerifyRequest(model=DEMO, certificate_json="[" * 100000),
     "BAD_CERTIFICATE", None),
    (explanations.VerifyRequest(model=DEMO, certificate_json="{}"), "BAD_CERTIFICATE", None),
]

ABSENT = [
    models.GetModelRequest(name="models/absent"),
    models.TokenizeRequest(model="models/absent", text="x"),
    models.PredictRequest(model="models/absent", prompt=prompt("x")),
    crystallize(model="models/absent"),
    explanations.VerifyRequest(model="models/absent", certificate_json="{}"),
]


def send(client, request):
    """Sends any request; raises what the client library raises."""
    name = type(request).__name__.removesuffix("Request")
    stub = (client._explanations if hasattr(client._explanations, name)
            else client._models)
    try:
        response = getattr(stub, name)(request, timeout=100)
        return list(response) if name == "Crystallize" else response
    except grpc.RpcError as error:
        raise Error.of(error) from None


def title(case):
    request, reason, field = case
    return f"{type(request).__name__}-{field or reason}"


@pytest.mark.parametrize("case", REFUSED, ids=title)
def test_names_the_field_at_fault(client, case):
    request, reason, field = case
    with pytest.raises(spar.Error) as error:
        send(client, request)
    assert (error.value.code, error.value.reason) == ("INVALID_ARGUMENT", reason)
    if field is not None:
        assert error.value.field == field
    assert error.value.message


@pytest.mark.parametrize("request_", ABSENT, ids=lambda r: type(r).__name__)
def test_says_which_model_is_absent(client, request_):
    with pytest.raises(spar.Error) as error:
        send(client, request_)
    assert (error.value.code, error.value.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert "models/absent" in error.value.message


@pytest.mark.parametrize("options", [{}, {"mode": "sufficient", "reference": "mean"}],
                         ids=["grounded", "mean"])
def test_says_that_reference_prompts_are_missing(client, options):
    with pytest.raises(spar.Error) as error:
        client.crystallize([1, 2, 3], model="bare", **options).explanation
    assert (error.value.code, error.value.reason) == (
        "FAILED_PRECONDITION", "NO_REFERENCE_PROMPTS")


def test_needs_no_reference_prompts_for_the_literal_problem(client):
    assert client.crystallize([1, 2, 3], model="bare", mode="sufficient").explanation.verdict


def test_survives_bytes_that_are_no_message(server):
    with grpc.insecure_channel(server.address, [("grpc.enable_http_proxy", 0)]) as channel:
        for service, method in (("ModelService", "Predict"), ("ModelService", "Tokenize"),
                                ("ExplanationService", "Verify")):
            raw = channel.unary_unary(f"/spar.v1.{service}/{method}")
            # Garbage; a string that is no UTF-8; a field of another wire type.
            for data in (b"\xff" * 100, b"\x0a\x02\xff\xfe", b"\x08\x01"):
                with pytest.raises(grpc.RpcError):
                    raw(data, timeout=100)
        raw = channel.unary_stream("/spar.v1.ExplanationService/Crystallize")
        with pytest.raises(grpc.RpcError):
            list(raw(b"\xff" * 100, timeout=100))
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/spar.v1.ModelService/Absent")(b"", timeout=100)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert server.is_alive()


def test_an_odd_prompt_is_only_a_prompt(client):
    for text in ("\x00", "\x1b[31m", "🙂" * 10, "\u202e", "' OR 1=1", "<|endoftext|>"):
        prediction = client.predict(text, top_k=1)
        assert prediction.predictions[0].top
