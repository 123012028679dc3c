"""A decoder in float64 whose heads and neurons can be overwritten.

Shared by the two kinds of model that the verifier knows: those it runs with
transformers (exact_transformers.py) and those it computes itself
(exact_simple.py). Nothing here is taken from Spar but the definitions: what a
unit is, how units are numbered, and what they hold outside S. Tensors are
torch's, of float64, so that a margin can be differentiated by its masks.
"""

import numpy as np
import torch

FEWEST_PROMPTS = 8  # fewer than this many prompts at a position: pooled mean


class MeanActivations:
    """What every unit holds on average, by position id.

    Position 0 stands apart. A position that too few prompts reach takes the
    mean over all positions but 0.
    """

    def __init__(self, num_positions):
        self._count = torch.zeros(num_positions, dtype=torch.float64)
        self._sum = {}

    def count(self, prompts, length):
        """That so many prompts of this length follow, once for all keys."""
        self._count[:length] += prompts

    def add(self, key, values):
        """values: [prompt, position, column], of prompts of one length."""
        _, length, columns = values.shape
        shape = (len(self._count), columns)
        total = self._sum.setdefault(key, torch.zeros(shape, dtype=torch.float64))
        total[:length] += values.sum(dim=0)

    def at(self, key, positions):
        """[..., column] for position ids."""
        positions = torch.as_tensor(positions)
        total = self._sum[key]
        later = self._count[1:].sum()
        pooled = total[1:].sum(dim=0) / later.clamp(min=1)
        table = pooled.repeat(int(positions.max()) + 1, 1)
        for position in range(min(len(table), len(total))):
            if position == 0 or self._count[position] >= FEWEST_PROMPTS:
                table[position] = total[position] / self._count[position]
        return table[positions]


def mean_activations(prompts, listen):
    """MeanActivations of whole prompts, each run by listen(tokens, ids, add)."""
    mean = MeanActivations(max(len(prompt) for prompt in prompts))
    for length in sorted({len(prompt) for prompt in prompts}):
        rows = np.array([p for p in prompts if len(p) == length])
        for begin in range(0, len(rows), 64):
            part = rows[begin : begin + 64]
            mean.count(len(part), length)
            listen(part, np.tile(np.arange(length), (len(part), 1)), mean.add)
    return mean


class ExactModel:
    """One loaded model. Subclasses run the forward pass.

    Fields: family, num_layers, num_heads, head_dim, num_neurons, vocab_size,
    context_length, attention_modules and mlp_modules (names by layer).
    """

    def watch(self, names):
        """Names of the weights, without ".weight", that `linear` is told of.

        Raises ValueError when the model has no such weight.
        """
        raise NotImplementedError

    def run(self, tokens, positions, edit=None, every_position=False, linear=None):
        """Logits, [row, vocab], or [row, position, vocab] if every_position.

        tokens, positions: [row, position] integers; positions are the ids that
        the model is told, and rise along a row. Attention is causal; sliding
        windows are measured in those ids. edit(kind, layer, values), where kind
        is "head" or "neuron" and values are [row, position, column], returns
        what the units hold instead; autograd sees it. linear(name, x, y) returns what a watched
        weight gives instead of y = W x + b, both [row, position, column]; of an
        embedding x are the tokens.
        """
        raise NotImplementedError

    @property
    def units_per_layer(self):
        return self.num_heads + self.num_neurons

    @property
    def num_units(self):
        return self.num_layers * self.units_per_layer

    def unit_name(self, unit):
        layer, index = divmod(unit, self.units_per_layer)
        if index < self.num_heads:
            return f"{self.attention_modules[layer]}#head={index}"
        return f"{self.mlp_modules[layer]}#neuron={index - self.num_heads}"

    def units_of(self, scheme):
        """Unit ids of "head", "neuron" or "head+neuron", as a boolean array."""
        is_head = np.arange(self.num_units) % self.units_per_layer < self.num_heads
        return {"head": is_head, "neuron": ~is_head, "head+neuron": is_head | True}[
            scheme
        ]

    def mean_activations(self, prompts):
        def listen(tokens, positions, add):
            def edit(kind, layer, values):
                add((kind, layer), values)
                return values

            self.run(tokens, positions, edit)

        return mean_activations(prompts, listen)

    def restricted_logits(self, tokens, positions, masks, mean=None):
        """[row, vocab] with unit value = mask x own + (1 - mask) x reference.

        masks: [row, unit]. The reference is 0, or `mean` at the position ids.
        """
        masks = torch.as_tensor(masks).to(torch.float64)

        def restrict(kind, layer, values):
            first = layer * self.units_per_layer
            if kind == "head":
                mask = masks[:, first : first + self.num_heads]
                mask = mask.repeat_interleave(self.head_dim, dim=1)
            else:
                first += self.num_heads
                mask = masks[:, first : first + self.num_neurons]
            mask = mask[:, None, :]
            if mean is None:
                return values * mask
            return values * mask + mean.at((kind, layer), positions) * (1 - mask)

        return self.run(tokens, positions, restrict)


def margins(logits, target):
    """Target's logit minus the largest other, for [row, vocab]."""
    others = torch.as_tensor(logits).numpy().astype(np.float64)
    own = others[:, target].copy()
    others[:, target] = -np.inf
    return own - others.max(axis=1)
