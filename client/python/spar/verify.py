"""Verifies a certificate with transformers, torch and numpy alone.

  python client/python/spar_verify.py CERTIFICATE.json MODEL_FOLDER \\
      [--decomposition FOLDER] [--json]

Nothing is taken from the server but the definitions of docs/certificate.md: the
weights are digested by hand, and every margin is computed again in float64. The
exit code is 0 for a certificate that holds (borderline or not), 1 for one that
does not, and 2 when it could not be checked.
"""

import argparse
import json
import pathlib
import sys
from dataclasses import asdict, dataclass, field

from . import checkpoint, verify_identity, verify_margins
from .certificate import Unreadable, read_certificate
from .decomposition import read_decomposition
from .exact_units import make_units
from .open_model import open_model

VALID = "valid"
BORDERLINE = "valid with borderline"
INVALID = "invalid"


@dataclass
class Report:
    """What a check found; the same three verdicts as the server's."""

    verdict: str = VALID
    findings: list = field(default_factory=list)
    margin: float = 0.0  # m(S, T) as computed here
    rows: int = 0  # restrictions computed
    largest_difference: float = 0.0  # stated against computed, logits

    def refute(self, finding):
        self.verdict = INVALID
        self.findings.append(finding)

    def doubt(self, finding):
        if self.verdict == VALID:
            self.verdict = BORDERLINE
        self.findings.append(finding)


def verify(text, folder, reference_prompts=None, decomposition=None):
    """The Report on a certificate's JSON text.

    decomposition: folder of the one whose subcomponents or nodes the units are.

    reference_prompts: token ids of the model's reference prompts, which only a
    mean reference needs; read from the folder when absent. Raises Unreadable,
    and ValueError where a decomposition is missing or of other weights.
    """
    certificate, digest = read_certificate(text)
    report = Report()
    if digest != certificate.digest:
        report.refute(f"the stated digest is not that of the content, {digest}")
    if certificate.reference == "mean" and reference_prompts is None:
        reference_prompts = checkpoint.reference_prompts(folder)
    factors = None
    if certificate.of_components:
        if decomposition is None:
            raise ValueError("the units are a decomposition's: its folder is wanted")
        factors = read_decomposition(decomposition, folder)
    if not verify_identity.check(
        certificate, folder, reference_prompts, factors, report
    ):
        return report
    model = open_model(folder)
    units = make_units(model, certificate, reference_prompts, factors)
    if not verify_identity.check_shape(certificate, model, units, report):
        return report
    verify_identity.check_units(certificate, units, report)
    verify_margins.check(certificate, model, units, report)
    return report


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="spar_verify", description="Verifies a certificate without Spar's code."
    )
    parser.add_argument("certificate", type=pathlib.Path)
    parser.add_argument("model_folder", type=pathlib.Path)
    parser.add_argument(
        "--reference-prompts",
        type=pathlib.Path,
        metavar="IDS.json",
        help="token ids of the model's reference prompts, a list of lists; "
        "without it they are read from the folder when they are needed",
    )
    parser.add_argument(
        "--decomposition",
        type=pathlib.Path,
        metavar="FOLDER",
        help="the decomposition whose subcomponents or nodes the units are",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = _parse(arguments)
    try:
        prompts = options.reference_prompts
        report = verify(
            options.certificate.read_text(),
            options.model_folder,
            None if prompts is None else json.loads(prompts.read_text()),
            options.decomposition,
        )
    except (Unreadable, OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"spar_verify: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{report.verdict}: m(S, T) = {report.margin:.6g}, {report.rows} rows")
        for finding in report.findings:
            print(f"  {finding}")
    return 1 if report.verdict == INVALID else 0
