"""Whether a certificate is of this model, and speaks of sets that it has."""

import hashlib
import json

from . import arithmetic, checkpoint
from .certificate import canonical_json


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def check(certificate, folder, reference_prompts, decomposition, report):
    """False: another model; nothing else can be said."""
    config = checkpoint.read_config(folder)
    weights = checkpoint.weights_digest(config, checkpoint.read_tensors(folder))
    try:
        stated = json.loads(certificate.config_json)
    except ValueError:
        stated = None
    meant = arithmetic.arithmetic_of(folder)
    same_config = (
        arithmetic.same(stated, meant)
        and canonical_json(stated) == certificate.config_json
    )
    # The stated text where it means the same: its numbers may end differently.
    config_json = certificate.config_json if same_config else canonical_json(meant)
    digest = _sha256(f'{{"config":{config_json},"weights":"{weights}"}}')
    if digest != certificate.model_digest:
        report.refute(
            f"the certificate is of model {certificate.model_digest}, this is {digest}"
        )
        return False
    if weights != certificate.weights_digest or not same_config:
        report.refute("the weights digest or the config is not this model's")

    reference = certificate.reference
    if reference == "mean":
        if not reference_prompts:
            report.refute("the mean reference needs reference prompts; there are none")
            return False
        reference += canonical_json(reference_prompts)
    if _sha256(reference) != certificate.reference_digest:
        report.refute("the reference digest is not this model's")
        return False
    if certificate.unit_numbering != 1:
        report.refute(f"unit numbering {certificate.unit_numbering} is not known here")
        return False
    own = "" if decomposition is None else decomposition.digest
    if certificate.decomposition_digest != own:
        report.refute(
            f"the certificate is of decomposition {certificate.decomposition_digest}, "
            f"this is {own}"
        )
        return False
    return True


def _ascends(items, universe):
    rises = all(a < b for a, b in zip(items, items[1:], strict=False))
    return rises and (not items or (items[0] >= 0 and items[-1] < universe))


def _shape_problem(c, model, units):
    length = len(c.tokens)
    prompts = [c.tokens, [c.target], *c.controls, *c.replacements]
    in_vocabulary = all(
        0 <= token < model.vocab_size for tokens in prompts for token in tokens
    )
    if not in_vocabulary or length > model.context_length:
        return "tokens do not fit the model"
    if any(len(tokens) != length for tokens in c.replacements):
        return "a replacement is not as long as the prompt"
    if (
        not _ascends(c.units, units.num_units(length))
        or not _ascends(c.positions, length)
        or length - 1 not in c.positions
        or (c.pin_first and 0 not in c.positions)
    ):
        return (
            "units or positions are not ascending sets of this model and prompt, "
            "or lack a position that is never deleted"
        )
    needed = length - c.positions[0]
    if not all(needed <= len(p) <= model.context_length for p in c.controls):
        return "a control does not fit the model or the positions"
    num_units, num_positions = len(c.units), len(c.free_positions)
    if (
        len(c.unit_names) != num_units
        or len(c.unit_deletion_margins) != num_units
        or len(c.position_deletion_margins) != num_positions
        or len(c.unit_deletion_contrasts) != (num_units if c.grounded else 0)
        or len(c.position_deletion_precisions) != (num_positions if c.grounded else 0)
    ):
        return "the certificate does not speak of every single deletion exactly"
    if c.attack is not None and not _attack_fits(c):
        return "the attack is out of its ranges, or speaks of other deletions"
    if c.grounded and not c.replacements:
        return "a GROUNDED certificate needs its replacements"
    if c.grounded and c.contrast_threshold > 0 and not c.controls:
        return "a contrast threshold needs controls"
    above = c.required_margin - c.tau_acc
    bar_holds = above >= -1e-9 if c.grounded else abs(above) <= 1e-9
    if not bar_holds or not 0 <= c.tau <= c.tau_acc:
        return "the thresholds contradict each other"
    return None


def _attack_fits(c):
    attack = c.attack
    return (
        1 <= attack.steps <= 1000
        and 1 <= attack.restarts <= 64
        and 0 < attack.step_size <= 1
        and len(attack.unit_deletion_margins) == len(c.units)
        and len(attack.position_deletion_margins) == len(c.free_positions)
        and c.seed.isdecimal()
        and int(c.seed) < 2**64
    )


def check_shape(certificate, model, units, report):
    """False: no rows can be made of it."""
    problem = _shape_problem(certificate, model, units)
    if problem is not None:
        report.refute(problem)
    return problem is None


def check_units(certificate, units, report):
    in_scheme = units.of_scheme(certificate.unit_scheme, len(certificate.tokens))
    for unit, name in zip(certificate.units, certificate.unit_names, strict=True):
        if units.name(unit) != name:
            report.refute(f"unit {unit} is {units.name(unit)}, not {name}")
        if not in_scheme[unit]:
            report.refute(f"unit {unit} is not of the scheme")
    if in_scheme.sum() != certificate.num_units:
        report.refute(
            f"the scheme has {in_scheme.sum()} units, not {certificate.num_units}"
        )
