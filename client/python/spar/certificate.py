"""A certificate's fields, as docs/certificate.md lists them."""

import hashlib
import json
import math
from dataclasses import dataclass, fields

MODES = ("SUFFICIENT", "GROUNDED")
MODEL_SCHEMES = ("head", "neuron", "head+neuron")
COMPONENT_SCHEMES = ("subcomponent", "subcomponent+delta", "node", "node+delta")
REFERENCES = ("zero", "mean")
OPTIONAL = ("attack", "decomposition_digest")  # left out where there is none
POSITION_MODES = ("keep_ids", "reindex")


class Unreadable(Exception):
    """Not a certificate at all."""


@dataclass
class CertifiedAttack:
    """Of robust mode."""

    margin: float
    position_deletion_margins: list[float]
    restarts: int
    step_size: float
    steps: int
    unit_deletion_margins: list[float]


@dataclass
class Certificate:
    algorithm_revision: int
    config_json: str
    contrast_threshold: float
    controls: list[list[int]]
    decision_digest: str
    device: str
    digest: str
    dtype: str
    margin: float
    margin_empty: float
    margin_full: float
    mode: str
    model_digest: str
    num_borderline: int
    num_units: int
    pin_first: int
    position_deletion_margins: list[float]
    position_deletion_precisions: list[float]
    position_mode: str
    positions: list[int]
    precision_threshold: float
    reference: str
    reference_digest: str
    replacements: list[list[int]]
    required_margin: float
    rounds: int
    rows: int
    seed: str
    target: int
    tau: float
    tau_acc: float
    tokens: list[int]
    unit_deletion_contrasts: list[float]
    unit_deletion_margins: list[float]
    unit_names: list[str]
    unit_numbering: int
    unit_scheme: str
    units: list[int]
    weights_digest: str
    # Of the decomposition whose units they are; absent for heads and neurons.
    decomposition_digest: str = ""
    attack: CertifiedAttack | None = None  # of robust mode

    @property
    def noise(self):
        return max(0.0, self.tau_acc - self.tau)

    @property
    def of_components(self):
        """Whether its units are a decomposition's."""
        return self.unit_scheme in COMPONENT_SCHEMES

    @property
    def grounded(self):
        return self.mode == "GROUNDED"

    @property
    def free_positions(self):
        """Those of T that a deletion speaks of."""
        fixed = {len(self.tokens) - 1} | ({0} if self.pin_first else set())
        return [position for position in self.positions if position not in fixed]


def _read(name, kind, value):
    if kind is str and isinstance(value, str):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    if kind == CertifiedAttack | None and isinstance(value, dict):
        return _read_fields(CertifiedAttack, value, f"{name}.")
    inner = getattr(kind, "__args__", None)
    if inner and isinstance(value, list):
        return [_read(name, inner[0], item) for item in value]
    raise Unreadable(f"field {name} does not hold what it should")


def _read_fields(kind, content, prefix=""):
    values = {}
    for one in fields(kind):
        if one.name not in content and one.name in OPTIONAL:
            continue
        if one.name not in content:
            raise Unreadable(f"field {prefix}{one.name} is missing")
        values[one.name] = _read(prefix + one.name, one.type, content[one.name])
    return kind(**values)


def read_certificate(text):
    """(Certificate, digest of its content). Raises Unreadable."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise Unreadable("not a JSON object")
    certificate = _read_fields(Certificate, content)
    for name, allowed in (
        ("mode", MODES),
        ("unit_scheme", MODEL_SCHEMES + COMPONENT_SCHEMES),
        ("reference", REFERENCES),
        ("position_mode", POSITION_MODES),
        ("pin_first", (0, 1)),
    ):
        if getattr(certificate, name) not in allowed:
            raise Unreadable(f"field {name} is none of {allowed}")
    if certificate.of_components != bool(certificate.decomposition_digest):
        raise Unreadable("field decomposition_digest does not fit unit_scheme")
    if not certificate.tokens:
        raise Unreadable("field tokens is empty")
    del content["digest"]
    return certificate, content_digest(content)


def canonical_json(content):
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def content_digest(content):
    """Of an object without its "digest"."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
