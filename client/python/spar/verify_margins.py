"""Computes a certificate's numbers again: docs/certificate.md, steps 5 to 10."""

import numpy as np
import torch

from . import verify_attack
from .exact_model import margins
from .exact_units import Row

TOLERANCE = 1e-3  # of a stated margin, times max(1, |margin|)
ROWS = 64  # of one forward pass


class Oracle:
    """Margins of many restrictions of one model at a time."""

    def __init__(self, certificate, model, units):
        self._c = certificate
        self._model = model
        self._units = units
        self._full = {}  # margins of the full model, by tokens
        self.rows = 0

    def restricted(self, rows):
        """rows: [(tokens, units, positions)]; the margins, in order."""
        self.rows += len(rows)
        result = np.empty(len(rows))
        lengths = np.array([len(positions) for _, _, positions in rows])
        for length in set(lengths):
            (members,) = np.nonzero(lengths == length)
            for begin in range(0, len(members), ROWS):
                part = members[begin : begin + ROWS]
                result[part] = self._run([rows[i] for i in part])
        return result

    def full(self, prompts):
        """Margins of the unrestricted model on each prompt, in order."""
        prompts = [tuple(prompt) for prompt in prompts]
        fresh = list({p: None for p in prompts if p not in self._full})
        self.rows += len(fresh)
        for length in {len(prompt) for prompt in fresh}:
            same = [prompt for prompt in fresh if len(prompt) == length]
            for begin in range(0, len(same), ROWS):
                part = same[begin : begin + ROWS]
                ids = torch.arange(length).expand(len(part), -1)
                logits = self._model.run(torch.tensor(part), ids)
                found = margins(logits, self._c.target)
                self._full.update(zip(part, found, strict=True))
        return np.array([self._full[prompt] for prompt in prompts])

    def make_row(self, tokens, units, places):
        ids = range(len(places)) if self._c.position_mode == "reindex" else places
        kept = [tokens[place] for place in places]
        return Row(kept, list(ids), places, units, len(tokens))

    def _run(self, rows):
        made = [self.make_row(*row) for row in rows]
        return margins(self._units.logits(made), self._c.target)


class _Check:
    def __init__(self, certificate, units, oracle, report):
        self.c = certificate
        self.units = units
        self.oracle = oracle
        self.report = report
        self.left = []  # deletions that only an attack can refuse

    def near(self, margin, bar):
        return abs(margin - bar) <= self.c.noise

    def compare(self, what, stated, margin):
        difference = abs(stated - margin)
        self.report.largest_difference = max(
            self.report.largest_difference, float(difference)
        )
        if difference > TOLERANCE * max(1.0, abs(margin)):
            self.report.refute(f"{what}: stated {stated:.6g}, computed {margin:.6g}")

    def passes(self, what, margin, bar):
        if self.near(margin, bar):
            self.report.doubt(f"{what}: {margin:.6g} is within the noise of {bar:.6g}")
        elif margin <= bar:
            self.report.refute(f"{what}: {margin:.6g} does not pass {bar:.6g}")

    def sets(self):
        c = self.c
        at_t = [(c.tokens, c.units, c.positions), (c.tokens, [], c.positions)]
        margin, empty = self.oracle.restricted(at_t)
        (full,) = self.oracle.full([c.tokens])
        self.report.margin = float(margin)
        self.compare("the margin of (S, T)", c.margin, margin)
        self.passes("(S, T)", margin, c.required_margin)
        self.compare("the margin of the full model", c.margin_full, full)
        self.passes("the full model", full, c.tau_acc)
        self.compare("the margin without units", c.margin_empty, empty)

    def _deletions(self, what, rows, stated, second_number):
        """Those whose margin passes, where something else may refuse them."""
        passing = []
        found = self.oracle.restricted(rows)
        for i, (margin, claim) in enumerate(zip(found, stated, strict=True)):
            name = f"without {what[i]}"
            bar = self.c.required_margin
            self.compare(name, claim, margin)
            if self.near(margin, bar):
                self.report.doubt(
                    f"{name}: {margin:.6g} is within the noise of {bar:.6g}"
                )
            elif margin > bar and (second_number or self.c.attack is not None):
                passing.append(i)
            elif margin > bar:
                self.report.refute(f"{name}: the set still passes, {margin:.6g}")
        return passing

    def unit_deletions(self):
        c = self.c
        rest = [c.units[:i] + c.units[i + 1 :] for i in range(len(c.units))]
        passing = self._deletions(
            c.unit_names,
            [(c.tokens, units, c.positions) for units in rest],
            c.unit_deletion_margins,
            c.grounded and c.contrast_threshold > 0,
        )
        for i in passing:
            if c.grounded and c.contrast_threshold > 0:
                others, near = self._contrast(rest[i])
                left = self._refused_share(
                    f"the contrast without {c.unit_names[i]}",
                    (others, near, len(c.controls)),
                    c.contrast_threshold,
                    c.unit_deletion_contrasts[i],
                )
                if not left:
                    continue
            stated = c.attack.unit_deletion_margins[i]
            self._leave(c.unit_names[i], rest[i], c.positions, stated)

    def position_deletions(self):
        c = self.c
        rest = [[p for p in c.positions if p != free] for free in c.free_positions]
        passing = self._deletions(
            [f"position {position}" for position in c.free_positions],
            [(c.tokens, c.units, positions) for positions in rest],
            c.position_deletion_margins,
            c.grounded,
        )
        for i in passing:
            what = f"position {c.free_positions[i]}"
            if c.grounded:
                says, near = self._precision(rest[i])
                left = self._refused_share(
                    f"the precision without {what}",
                    (says, near, len(c.replacements)),
                    c.precision_threshold,
                    c.position_deletion_precisions[i],
                )
                if not left:
                    continue
            stated = c.attack.position_deletion_margins[i]
            self._leave(what, c.units, rest[i], stated)

    def controls(self):
        for i, margin in enumerate(self.oracle.full(self.c.controls)):
            if self.near(margin, 0):
                self.report.doubt(f"control {i}: the full model is undecided")
            elif margin > 0:
                self.report.refute(f"control {i}: the full model says the target")

    def shares(self):
        c = self.c
        if not c.grounded:
            return
        self._share(
            "the precision of T",
            (*self._precision(c.positions), len(c.replacements)),
            c.precision_threshold,
        )
        if c.contrast_threshold > 0:
            self._share(
                "the contrast of (S, T)",
                (*self._contrast(c.units), len(c.controls)),
                c.contrast_threshold,
            )

    def _undecided(self, found):
        return int((abs(found) <= self.c.noise).sum())

    def _precision(self, positions):
        """Samples on which the full model says the target; undecided ones."""
        samples = []
        for replacement in self.c.replacements:
            sample = list(replacement)
            for position in positions:
                sample[position] = self.c.tokens[position]
            samples.append(sample)
        found = self.oracle.full(samples)
        return int((found > 0).sum()), self._undecided(found)

    def _contrast(self, units):
        """Controls on which (units, T) does not say the target; undecided ones."""
        rows = []
        for control in self.c.controls:
            shift = len(control) - len(self.c.tokens)
            kept = self.units.moved(units, shift)
            rows.append((control, kept, [p + shift for p in self.c.positions]))
        found = self.oracle.restricted(rows)
        return int((found <= 0).sum()), self._undecided(found)

    def _share(self, what, counts, threshold):
        count, near, total = counts
        if (count + near) / total < threshold:
            self.report.refute(f"{what} is {count / total:.4g}, under {threshold:.4g}")
        elif (count - near) / total < threshold:
            self.report.doubt(f"{what} is {count / total:.4g}, {near} rows undecided")

    def _leave(self, what, units, positions, stated):
        self.left.append(
            verify_attack.Deletion(f"without {what}", units, positions, stated)
        )

    def _refused_share(self, what, counts, threshold, stated):
        """Whether it is left to the attack."""
        count, near, total = counts
        if abs(stated - count / total) > (near + 1e-6) / total + 1e-9:
            self.report.refute(f"{what}: stated {stated:.6g}, is {count / total:.6g}")
        if (count - near) / total >= threshold:
            if self.c.attack is not None:
                return True
            self.report.refute(
                f"{what} is {count / total:.4g} and the margin passes: not needed"
            )
        elif (count + near) / total >= threshold:
            self.report.doubt(f"{what} is {count / total:.4g}, {near} rows undecided")
        return False


def check(certificate, model, units, report):
    """Steps 5 to 10 of the verdict."""
    oracle = Oracle(certificate, model, units)
    steps = _Check(certificate, units, oracle, report)
    steps.sets()
    steps.unit_deletions()
    steps.position_deletions()
    steps.controls()
    steps.shares()
    report.rows = oracle.rows
    if certificate.attack is not None:
        report.rows += verify_attack.check(
            certificate, units, oracle.make_row, steps.left, report
        )
