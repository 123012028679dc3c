"""What S may count, and what it is to keep some of it: docs/certificate.md.

Both classes number units for prompts of a length, and run rows:

  num_units(length), name(unit), of_scheme(scheme, length) (a boolean array),
  moved(units, shift)       the same units on a prompt whose places are shifted
  mask(row)                 [num_units(row.length)], 0 or 1
  logits(rows, masks)       [row, vocab] of Rows that keep equally many positions;
                            masks of each, any numbers, by default as mask(row)
"""

from dataclasses import dataclass

import numpy as np
import torch

from .exact_model import mean_activations


@dataclass
class Row:
    """One restriction of a prompt. Lists run over its kept positions."""

    tokens: list
    ids: list  # position ids that the model is told
    places: list  # positions in the whole prompt
    units: list  # ids of what is kept of the scheme
    length: int  # of the whole prompt


class _Units:
    """What is always on, and what rows keep of the rest."""

    def mask(self, row):
        always_on = ~self.of_scheme(self._scheme, row.length)
        mask = torch.from_numpy(always_on).to(torch.float64)
        mask[row.units] = 1.0
        return mask


class HeadAndNeuronUnits(_Units):
    """Attention heads and MLP neurons."""

    def __init__(self, model, scheme, prompts=None):
        """prompts: those of the mean reference; None for zero."""
        self._model = model
        self._scheme = scheme
        self._mean = None if prompts is None else model.mean_activations(prompts)

    def num_units(self, _):
        return self._model.num_units

    def name(self, unit):
        return self._model.unit_name(unit)

    def of_scheme(self, scheme, _):
        return self._model.units_of(scheme)

    def moved(self, units, _):
        return units

    def logits(self, rows, masks=None):
        return self._model.restricted_logits(
            torch.tensor([row.tokens for row in rows]),
            torch.tensor([row.ids for row in rows]),
            torch.stack(masks or [self.mask(row) for row in rows]),
            self._mean,
        )


class ComponentUnits(_Units):
    """A decomposition's subcomponents and Deltas; with `nodes` per position."""

    def __init__(self, model, decomposition, scheme, prompts=None):
        self._model = model
        self._scheme = scheme
        self._modules = decomposition.modules
        self._nodes = scheme.startswith("node")
        model.watch([module.name for module in self._modules])
        sizes = [module.num_components + 1 for module in self._modules]
        self._ends = np.cumsum(sizes)
        self._per_position = int(self._ends[-1])
        self._is_delta = np.zeros(self._per_position, dtype=bool)
        self._is_delta[self._ends - 1] = True
        self._mean = None
        if prompts is not None:
            self._mean = mean_activations(prompts, self._listen)

    def num_units(self, length):
        return self._per_position * (length if self._nodes else 1)

    def name(self, unit):
        position, within = divmod(unit, self._per_position)
        number = int(np.searchsorted(self._ends, within, side="right"))
        module = self._modules[number]
        index = within - (self._ends[number] - module.num_components - 1)
        kind = "delta" if self._is_delta[within] else f"subcomponent={index}"
        place = f"@{position}" if self._nodes else ""
        return f"{module.name}#{kind}{place}"

    def of_scheme(self, scheme, length):
        of_kind = {
            "subcomponent": ~self._is_delta,
            "subcomponent+delta": self._is_delta | True,
            "node": ~self._is_delta,
            "node+delta": self._is_delta | True,
        }[scheme]
        return np.tile(of_kind, length if self._nodes else 1)

    def moved(self, units, shift):
        if not self._nodes:
            return units
        moved = (unit + shift * self._per_position for unit in units)
        return [unit for unit in moved if unit >= 0]

    def logits(self, rows, masks=None):
        off = 1.0 - self._kept(rows, masks or [self.mask(row) for row in rows])
        ids = torch.tensor([row.ids for row in rows])

        def restrict(name, x, y):
            module, columns = self._find(name)
            c = columns[:-1]
            kept_from = module.activations(x)
            delta = module.delta_output(x)
            if self._mean is not None:
                kept_from = kept_from - self._mean.at((name, "a"), ids)
                delta = delta - self._mean.at((name, "delta"), ids)
            y = y - (off[:, :, c] * kept_from) @ module.u
            return y - off[:, :, columns[-1:]] * delta

        tokens = torch.tensor([row.tokens for row in rows])
        return self._model.run(tokens, ids, linear=restrict)

    def _find(self, name):
        """A module and the columns of its units."""
        number = next(i for i, m in enumerate(self._modules) if m.name == name)
        first = self._ends[number - 1] if number > 0 else 0
        return self._modules[number], np.arange(first, self._ends[number])

    def _kept(self, rows, masks):
        """[row, kept position, unit of one position]"""
        kept = []
        for row, mask in zip(rows, masks, strict=True):
            by_place = mask.reshape(-1, self._per_position)
            if self._nodes:
                kept.append(by_place[row.places])
            else:
                kept.append(by_place.expand(len(row.places), -1))
        return torch.stack(kept)

    def _listen(self, tokens, positions, add):
        def listen(name, x, y):
            module, _ = self._find(name)
            add((name, "a"), module.activations(x))
            add((name, "delta"), module.delta_output(x))
            return y

        self._model.run(tokens, positions, linear=listen)


def make_units(model, certificate, prompts, decomposition):
    """The units that a certificate speaks of."""
    mean = prompts if certificate.reference == "mean" else None
    scheme = certificate.unit_scheme
    if decomposition is None:
        return HeadAndNeuronUnits(model, scheme, mean)
    return ComponentUnits(model, decomposition, scheme, mean)
