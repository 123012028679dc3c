"""The Python verifier and the server's own check agree, also on forgeries.

Run as: verifier_test.py PATH_OF_spar_certificate_probe

The certificates are real ones, of the demo model and of small random models.
Every forgery has its digest made anew, but where the digest is what is forged.
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
CLIENT = REPOSITORY / "client/python"
DEMO = REPOSITORY / "models/demo/model"
sys.path[:0] = [str(HERE.parent), str(CLIENT)]

import random_decomposition  # noqa: E402
import zoo  # noqa: E402
from spar import checkpoint  # noqa: E402
from spar.certificate import (  # noqa: E402
    Unreadable,
    canonical_json,
    content_digest,
    read_certificate,
)
from spar.decomposition import read_decomposition  # noqa: E402
from spar.exact_units import make_units  # noqa: E402
from spar.open_model import open_model  # noqa: E402
from spar.verify import INVALID, main, verify  # noqa: E402
from spar.verify_margins import Oracle  # noqa: E402

RANDOM_MODELS = (
    "simple_mlp",
    "gpt2",
    "gpt2_hub",
    "neox",
    "llama_wide_heads",
    "mistral",
    "qwen2_window",
    "simple_mlp_fused",
    "simple_gpt2",
)
CI = {"kind": "global_shared_mlp", "hidden": []}
SUFFICIENT = ("SUFFICIENT", "head+neuron", "zero", "keep_ids")
GROUNDED = ("GROUNDED", "head+neuron", "zero", "keep_ids")
SUFFICIENT_MEAN = ("SUFFICIENT", "neuron", "mean", "reindex")
GROUNDED_MEAN = ("GROUNDED", "head+neuron", "mean", "reindex")
SUBCOMPONENTS = ("SUFFICIENT", "subcomponent", "zero", "keep_ids")
SUBCOMPONENTS_MEAN = ("SUFFICIENT", "subcomponent+delta", "mean", "reindex")
NODES = ("SUFFICIENT", "node+delta", "zero", "keep_ids")
NODES_MEAN = ("SUFFICIENT", "node", "mean", "keep_ids")
NODES_GROUNDED = ("GROUNDED", "node+delta", "zero", "keep_ids")
OF_A_DECOMPOSITION = (SUBCOMPONENTS, SUBCOMPONENTS_MEAN, NODES, NODES_MEAN)
# GROUNDED costs a thousand rows: of some models only.
KINDS = {
    "demo": (SUFFICIENT, GROUNDED, SUFFICIENT_MEAN),
    "simple_mlp": (*OF_A_DECOMPOSITION, NODES_GROUNDED),
    "gpt2": OF_A_DECOMPOSITION,
    "neox": (SUFFICIENT, *OF_A_DECOMPOSITION),
    "gpt2_hub": (SUFFICIENT, GROUNDED, SUFFICIENT_MEAN),
    "simple_mlp_fused": (SUFFICIENT, GROUNDED, SUFFICIENT_MEAN, GROUNDED_MEAN),
}


class Subject:
    """A model folder, its reference prompts, and a prompt to ask about."""

    def __init__(self, name, folder, reference_prompts, tokens, decomposition=None):
        self.name = name
        self.folder = str(folder)
        self.decomposition = decomposition and str(decomposition)
        self.factors = decomposition and read_decomposition(decomposition, folder)
        self.reference_prompts = reference_prompts
        self.tokens = tokens

    def request(self, questions=(), certificates=()):
        return {
            "folder": self.folder,
            "decomposition": self.decomposition,
            "reference_prompts": self.reference_prompts,
            "questions": list(questions),
            "verify": list(certificates),
        }

    def questions(self):
        return [
            {
                "tokens": self.tokens,
                "mode": mode,
                "scheme": scheme,
                "reference": reference,
                "position_mode": position_mode,
            }
            for mode, scheme, reference, position_mode in KINDS.get(
                self.name, (SUFFICIENT, SUFFICIENT_MEAN)
            )
        ]

    def verify(self, certificate):
        return verify(
            certificate, self.folder, self.reference_prompts, self.decomposition
        )


def _random_subject(name, root):
    draw = random.Random(name)

    def prompt(length):
        return [draw.randrange(zoo.VOCAB) for _ in range(length)]

    prompts = [prompt(draw.randrange(6, 14)) for _ in range(40)]
    folder = zoo.make(name, root)
    decomposition = None
    if set(KINDS.get(name, ())) & set(OF_A_DECOMPOSITION):
        decomposition = root / f"{name}-decomposition"
        weights = random_decomposition.linear_weights(
            folder, random_decomposition.MODELS[name]
        )
        random_decomposition.write_decomposition(
            decomposition, folder, weights, CI, "leaky_hard", 11
        )
    return Subject(name, folder, prompts, prompt(7), decomposition)


def _demo_subject():
    prompts = checkpoint.reference_prompts(DEMO)
    return Subject("demo", DEMO, prompts, prompts[1])


def _probe(requests):
    probe = subprocess.run(
        [os.environ["SPAR_CERTIFICATE_PROBE"]],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=True,
    )
    responses = json.loads(probe.stdout)
    assert not [r["error"] for r in responses if "error" in r]
    return responses


def _with_digest(content):
    content = {name: content[name] for name in content if name != "digest"}
    return canonical_json({**content, "digest": content_digest(content)})


# Forgeries: each takes a certificate's content and returns another one.


def _without_a_unit(c):
    for name in ("units", "unit_names", "unit_deletion_margins"):
        c[name] = c[name][1:]
    c["unit_deletion_contrasts"] = c["unit_deletion_contrasts"][1:]
    return c


def _with_a_unit(c, name_of):
    unit = next(u for u in range(4, 10**6) if u not in c["units"])
    c["units"] = sorted([*c["units"], unit])
    at = c["units"].index(unit)
    c["unit_names"].insert(at, name_of(unit))
    c["unit_deletion_margins"].insert(at, c["margin"])
    if c["mode"] == "GROUNDED":
        c["unit_deletion_contrasts"].insert(at, "-1")
    return c


def _with_another_prompt(c):
    c["tokens"][-1] = (c["tokens"][-1] + 1) % zoo.VOCAB
    return c


def _with_another_model(c):
    c["model_digest"] = "0" * 64
    return c


def _with_another_config(c):
    c["config_json"] = c["config_json"].replace('"num_layers":', '"num_layers":1')
    return c


def _with_a_higher_margin(c):
    c["margin"] = f"{float(c['margin']) + 0.01:.9g}"
    return c


def _with_a_lower_deletion(c):
    c["unit_deletion_margins"][-1] = "-9"
    return c


def _with_a_lower_bar(c):
    c["required_margin"] = c["tau_acc"] = c["tau"] = "0"
    return c


def _with_a_higher_bar(c):
    c["required_margin"] = f"{float(c['margin']) + 1:.9g}"
    return c


def _with_another_target(c):
    c["target"] = (c["target"] + 1) % zoo.VOCAB
    return c


def _without_the_readout(c):
    c["positions"] = c["positions"][:-1]
    return c


def _with_another_name(c):
    c["unit_names"][0] = c["unit_names"][0] + "0"
    return c


def _with_the_target_as_control(c):
    if c["mode"] == "SUFFICIENT":
        return None
    c["controls"] = [*c["controls"], c["tokens"]]
    return c


def _with_another_decomposition(c):
    if "decomposition_digest" not in c:
        return None
    c["decomposition_digest"] = "0" * 64
    return c


FORGERIES = (
    _with_another_decomposition,
    _without_a_unit,
    _with_another_prompt,
    _with_another_model,
    _with_another_config,
    _with_a_higher_margin,
    _with_a_lower_deletion,
    _with_a_higher_bar,
    _with_another_target,
    _without_the_readout,
    _with_another_name,
    _with_the_target_as_control,
)


def _forgeries(certificate, name_of):
    """[(name, forged JSON)]; name_of: of a unit."""
    forged = []
    for forge in FORGERIES:
        content = forge(json.loads(certificate))
        if content is not None:
            forged.append((forge.__name__, _with_digest(content)))
    content = _with_a_unit(json.loads(certificate), name_of)
    forged.append(("_with_a_unit", _with_digest(content)))
    content = _with_a_higher_margin(json.loads(certificate))
    forged.append(("the old digest", canonical_json(content)))
    return forged


def _is_forged(one):
    """All of the cheap kind, and one GROUNDED certificate."""
    content = json.loads(one.text)
    cheap = content["mode"] == "SUFFICIENT" or one.subject.name == "simple_mlp_fused"
    return cheap and content["reference"] == "zero" and content["units"]


class Made:
    """A certificate or a forgery of one, and what the server says of it."""

    def __init__(self, subject, name, text):
        self.subject = subject
        self.name = name
        self.text = text
        self.server = None


@pytest.fixture(scope="session")
def subjects(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    made = {name: _random_subject(name, root) for name in RANDOM_MODELS}
    return {"demo": _demo_subject(), **made}


@pytest.fixture(scope="session")
def genuine(subjects):
    answers = _probe([s.request(s.questions()) for s in subjects.values()])
    made = []
    for (name, subject), response in zip(subjects.items(), answers, strict=True):
        for question, answer in zip(
            subject.questions(), response["answers"], strict=True
        ):
            if answer["certificate"] is not None:
                kind = [question[k] for k in ("mode", "scheme", "reference")]
                made.append(Made(subject, f"{name} {kind}", answer["certificate"]))
    return made


@pytest.fixture(scope="session")
def judged(subjects, genuine):
    """The genuine ones and their forgeries, with the server's verdicts."""
    made = list(genuine)
    models = {id(s): open_model(s.folder) for s in subjects.values()}
    for one in genuine:
        if not _is_forged(one):
            continue
        certificate, _ = read_certificate(one.text)
        units = make_units(
            models[id(one.subject)],
            certificate,
            None,
            one.subject.factors if certificate.of_components else None,
        )
        for name, text in _forgeries(one.text, units.name):
            made.append(Made(one.subject, f"{one.name} {name}", text))
    of = {id(s): [m for m in made if m.subject is s] for s in subjects.values()}
    responses = _probe(
        [
            s.request(certificates=[m.text for m in of[id(s)]])
            for s in subjects.values()
        ]
    )
    for subject, response in zip(subjects.values(), responses, strict=True):
        for one, verdict in zip(of[id(subject)], response["verdicts"], strict=True):
            one.server = verdict
    return made


def test_most_questions_end_in_a_certificate(subjects, genuine):
    assert len(genuine) >= 0.8 * sum(len(s.questions()) for s in subjects.values())
    assert len([m for m in genuine if json.loads(m.text)["mode"] == "GROUNDED"]) >= 3
    assert {id(m.subject) for m in genuine} == {id(s) for s in subjects.values()}
    schemes = {json.loads(m.text)["unit_scheme"] for m in genuine}
    assert schemes >= {scheme for _, scheme, _, _ in OF_A_DECOMPOSITION}


def test_a_genuine_certificate_holds_for_both(judged, genuine):
    for one in judged[: len(genuine)]:
        report = one.subject.verify(one.text)
        assert report.verdict != INVALID, (one.name, report.findings)
        assert report.verdict == one.server["verdict"], (one.name, one.server)
        assert abs(report.margin - one.server["margin"]) < 1e-8, one.name
        assert report.largest_difference < 1e-4, one.name


def test_a_forgery_is_refused_by_both(judged, genuine):
    forgeries = judged[len(genuine) :]
    assert len(forgeries) >= 6 * len(FORGERIES)
    for one in forgeries:
        report = one.subject.verify(one.text)
        assert one.server["verdict"] == INVALID, (one.name, one.server)
        assert report.verdict == INVALID, (one.name, one.server)


def _with_true_numbers(certificate_text, model, extra_unit):
    """S plus one unit, every number computed: only minimality is false."""
    certificate, _ = read_certificate(certificate_text)
    units_of = make_units(model, certificate, None, None)
    oracle = Oracle(certificate, model, units_of)
    units = sorted([*certificate.units, extra_unit])
    sets = [units, *([u for u in units if u != out] for out in units)]
    t = certificate.positions
    rows = [(certificate.tokens, s, t) for s in sets]
    free = certificate.free_positions
    rows += [(certificate.tokens, units, [p for p in t if p != f]) for f in free]
    found = [f"{margin:.9g}" for margin in oracle.restricted(rows)]
    content = json.loads(certificate_text)
    content["units"] = units
    content["unit_names"] = [model.unit_name(unit) for unit in units]
    content["margin"] = found[0]
    content["unit_deletion_margins"] = found[1 : 1 + len(units)]
    content["position_deletion_margins"] = found[1 + len(units) :]
    return _with_digest(content)


def test_an_idle_unit_is_found_even_if_every_number_is_true(subjects, genuine):
    subject = subjects["demo"]
    one = next(
        m
        for m in genuine
        if m.subject is subject
        and json.loads(m.text)["mode"] == "SUFFICIENT"
        and json.loads(m.text)["reference"] == "zero"
    )
    model = open_model(subject.folder)
    margin = float(json.loads(one.text)["margin"])
    certificate, _ = read_certificate(one.text)
    for unit in range(model.num_units):
        if unit in certificate.units:
            continue
        forged = _with_true_numbers(one.text, model, unit)
        if abs(float(json.loads(forged)["margin"]) - margin) < 1e-3:
            break
    report = subject.verify(forged)
    (response,) = _probe([subject.request(certificates=[forged])])
    assert report.verdict == INVALID
    assert response["verdicts"][0]["verdict"] == INVALID
    assert all("still passes" in finding for finding in report.findings)
    assert report.largest_difference < 1e-5  # the full margin is float32


def test_a_lowered_bar_gives_both_the_same_verdict(subjects, genuine):
    """Lowered to 0 it may still hold: then it claims less."""
    subject = subjects["gpt2_hub"]
    texts = [
        _with_digest(_with_a_lower_bar(json.loads(m.text)))
        for m in genuine
        if m.subject is subject
    ]
    (response,) = _probe([subject.request(certificates=texts)])
    for text, verdict in zip(texts, response["verdicts"], strict=True):
        assert subject.verify(text).verdict == verdict["verdict"]


DAMAGES = (
    lambda c: "[]",
    lambda c: "{",
    lambda c: json.dumps({**c, "margin": 1.5}),
    lambda c: json.dumps({**c, "margin": "nan"}),
    lambda c: json.dumps({**c, "mode": "OTHER"}),
    lambda c: json.dumps({**c, "tokens": ["1"]}),
    lambda c: json.dumps({name: c[name] for name in c if name != "tau"}),
)


def test_what_cannot_be_read_is_an_error_for_both(genuine):
    subject = genuine[0].subject
    texts = [damage(json.loads(genuine[0].text)) for damage in DAMAGES]
    (response,) = _probe([subject.request(certificates=texts)])
    for text, verdict in zip(texts, response["verdicts"], strict=True):
        assert "error" in verdict, text
        with pytest.raises(Unreadable):
            subject.verify(text)


def test_changed_weights_are_another_model(subjects, genuine, tmp_path):
    one = next(m for m in genuine if m.subject is subjects["demo"])
    for file in DEMO.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    report = verify(one.text, tmp_path, one.subject.reference_prompts)
    assert report.verdict == INVALID
    assert "the certificate is of model" in report.findings[0]


def test_exit_codes_and_json(subjects, genuine, tmp_path, capsys):
    one = next(m for m in genuine if m.subject is subjects["demo"])
    file = tmp_path / "certificate.json"
    file.write_text(one.text)
    assert main([str(file), one.subject.folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"].startswith("valid")
    file.write_text(_with_digest(_with_a_higher_margin(json.loads(one.text))))
    assert main([str(file), one.subject.folder]) == 1
    assert capsys.readouterr().out.startswith("invalid: m(S, T) = ")
    file.write_text("{}")
    assert main([str(file), one.subject.folder]) == 2
    assert main([str(tmp_path / "none.json"), one.subject.folder]) == 2


def test_it_runs_as_a_file_and_needs_no_grpc(subjects, genuine, tmp_path):
    one = next(m for m in genuine if m.subject is subjects["demo"])
    file = tmp_path / "certificate.json"
    file.write_text(one.text)
    program = (
        "import runpy, sys; sys.modules['grpc'] = None; "
        f"sys.argv = ['spar_verify', {str(file)!r}, {one.subject.folder!r}]; "
        f"sys.path.insert(0, {str(CLIENT)!r}); "
        f"runpy.run_path({str(CLIENT / 'spar_verify.py')!r}, run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert run.returncode == 0, run.stderr


if __name__ == "__main__":
    os.environ["SPAR_CERTIFICATE_PROBE"] = sys.argv[1]
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
