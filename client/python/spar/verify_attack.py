"""The attack of a robust certificate, run again: docs/certificate.md, step 10."""

import math
from dataclasses import dataclass

import numpy as np
import torch

DRAW = 8  # of a restart's first masks
TOLERANCE = 0.02  # of a worst margin, times max(1, |margin|): paths part


@dataclass
class Deletion:
    """One that only the attack can refuse."""

    what: str
    units: list  # what is left of S
    positions: list  # and of T
    stated: float  # the lowest margin found by the search


def _mix(x):
    """The step and finaliser of SplitMix64, on uint64 arrays."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draws(seed, restart, units):
    """Uniform numbers in [0, 1), of a restart's masks of `units`."""
    x = _mix(np.array([seed], dtype=np.uint64))
    for number in (DRAW, restart):
        x = _mix(x ^ np.uint64(number))
    bits = _mix(x ^ np.asarray(units, dtype=np.uint64))
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def _smooth_and_plain(logits, target):
    """Margins of [row, vocab]; only the smooth one is differentiated."""
    others = logits.clone()
    others[:, target] = -math.inf
    smooth = logits[:, target] - others.logsumexp(dim=1)
    plain = (logits[:, target] - others.max(dim=1).values).detach()
    return smooth, torch.where(plain.isnan(), -math.inf, plain)


class Attacker:
    """Runs the attack that a certificate states."""

    def __init__(self, certificate, units, make_row):
        """make_row(tokens, units, positions) gives a Row."""
        self._c = certificate
        self._units = units
        self._make_row = make_row
        self.rows = 0

    def _margins(self, row, masks):
        """(plain, gradient of the smooth one); masks: [point, unit]."""
        masks = masks.clone().requires_grad_()
        logits = self._units.logits([row] * len(masks), list(masks))
        smooth, plain = _smooth_and_plain(logits, self._c.target)
        (gradient,) = torch.autograd.grad(smooth.sum(), masks)
        self.rows += len(masks)
        return plain, gradient

    def margin(self, kept, positions, masks):
        """At one point."""
        row = self._make_row(self._c.tokens, kept, positions)
        with torch.no_grad():
            logits = self._units.logits([row], [masks])
            _, plain = _smooth_and_plain(logits, self._c.target)
        self.rows += 1
        return float(plain)

    def worst(self, kept, positions, stop_at=-math.inf):
        """(lowest margin of all points, its masks); ends at `stop_at` or less."""
        attack = self._c.attack
        row = self._make_row(self._c.tokens, kept, positions)
        fixed = self._units.mask(row)
        in_scheme = self._units.of_scheme(self._c.unit_scheme, row.length)
        free = torch.from_numpy(np.flatnonzero(in_scheme & (fixed == 0).numpy()))
        points = fixed.repeat(attack.restarts if len(free) > 0 else 1, 1)
        for restart in range(1, len(points)):
            first = draws(int(self._c.seed), restart, free.numpy())
            points[restart, free] = torch.from_numpy(first)
        lowest, masks = math.inf, points[0]
        for step in range(attack.steps + 1):
            plain, gradient = self._margins(row, points)
            index = int(plain.argmin())
            if plain[index] < lowest:
                lowest, masks = float(plain[index]), points[index].clone()
            if lowest <= stop_at or step == attack.steps or len(free) == 0:
                break
            moved = points[:, free] - attack.step_size * gradient[:, free].sign()
            points[:, free] = moved.clamp(0, 1)
        return lowest, masks


def _check_set(c, worst, report):
    bar, stated = c.tau_acc, c.attack.margin
    what = "(S, T) under the attack"
    report.largest_difference = max(report.largest_difference, abs(stated - worst))
    if abs(worst - bar) <= c.noise:
        report.doubt(f"{what}: {worst:.6g} is within the noise of {bar:.6g}")
    elif worst <= bar:
        report.refute(f"{what}: {worst:.6g} does not pass {bar:.6g}")
    if stated <= bar - c.noise:
        report.refute(f"{what}: the stated {stated:.6g} does not pass {bar:.6g}")
    allowed = TOLERANCE * max(1.0, abs(worst))
    if worst < stated - allowed:
        report.refute(f"{what}: stated {stated:.6g}, found {worst:.6g}")
    elif worst > stated + allowed:
        report.doubt(f"{what}: stated {stated:.6g}, no less than {worst:.6g} here")


def _check_deletion(c, attacker, deletion, masks, report):
    """masks: of the worst point of (S, T)."""
    what = deletion.what
    if deletion.stated > c.tau_acc + c.noise:
        report.doubt(f"{what}: the set passes, and no point that breaks it is stated")
        return
    masks = masks.clone()
    masks[[unit for unit in c.units if unit not in deletion.units]] = 0.0
    lowest = attacker.margin(deletion.units, deletion.positions, masks)
    broken = c.tau_acc - c.noise
    if lowest > broken:
        found, _ = attacker.worst(deletion.units, deletion.positions, broken)
        lowest = min(lowest, found)
    if abs(lowest - c.tau_acc) <= c.noise:
        report.doubt(f"{what}: {lowest:.6g} is within the noise of {c.tau_acc:.6g}")
    elif lowest > c.tau_acc:
        report.refute(f"{what}: the set holds against the attack, {lowest:.6g}")


def check(certificate, units, make_row, deletions, report):
    """deletions: those that nothing else refuses. Gives the points computed."""
    c = certificate
    attacker = Attacker(c, units, make_row)
    worst, masks = attacker.worst(c.units, c.positions)
    _check_set(c, worst, report)
    for deletion in deletions:
        _check_deletion(c, attacker, deletion, masks, report)
    return attacker.rows
