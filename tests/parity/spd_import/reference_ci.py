"""spd's causal importance functions in torch.

Written from the formulae, with the library's names of parameters; every map of
the library's own is y = x W + b with W of [in, out].
"""

import math

import torch
from torch import nn

EPS = 2.0**-23  # of rms norms in CI functions: float32's epsilon


def rms(x):
    return x / ((x * x).mean(-1, keepdim=True) + EPS).sqrt()


class Map(nn.Module):
    def __init__(self, inputs, outputs, members=()):
        super().__init__()
        self.W = nn.Parameter(torch.empty(*members, inputs, outputs))
        self.b = nn.Parameter(torch.empty(*members, outputs))

    def forward(self, x):
        """x: [..., in], or [..., C, in] for a parallel map of C members."""
        if self.W.dim() == 2:
            return x @ self.W + self.b
        return torch.einsum("...ci,cio->...co", x, self.W) + self.b


def mlp(widths, members=()):
    layers = []
    for i in range(len(widths) - 1):
        layers += [Map(widths[i], widths[i + 1], members), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class Layerwise(nn.Module):
    def __init__(self, kind, hidden, d_in, components):
        super().__init__()
        self.kind = kind
        if kind == "shared_mlp":
            self.layers = mlp([d_in, *hidden, components])
        else:
            first = 1 if kind == "mlp" else d_in
            self.layers = mlp([first, *hidden, 1], (components,))
        self.components = components

    def forward(self, x, activations):
        if self.kind == "shared_mlp":
            return self.layers(x)
        if self.kind == "mlp":
            return self.layers(activations[..., None])[..., 0]
        spread = x[..., None, :].expand(*x.shape[:-1], self.components, x.shape[-1])
        return self.layers(spread)[..., 0]


class Rope(nn.Module):
    def __init__(self, size, base):
        super().__init__()
        self.base, self.size = base, size
        frequencies = base ** (-torch.arange(0, size, 2).float() / size)
        self.register_buffer("inv_freq", frequencies)

    def forward(self, x):
        j = torch.arange(self.size // 2, dtype=x.dtype)
        frequencies = self.base ** (-2 * j / self.size)
        angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * frequencies
        a, b = x.chunk(2, dim=-1)
        cos, sin = angle.cos(), angle.sin()
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class SelfAttention(nn.Module):
    def __init__(self, width, heads, base):
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(width, width, bias=False))
        self.rope = Rope(width // heads, base)

    def forward(self, x):
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = self.rope(q), self.rope(k)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return self.out_proj((weights @ v).transpose(-3, -2).flatten(-2))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, base, hidden):
        super().__init__()
        self.attn = SelfAttention(width, heads, base)
        self.mlp = mlp([width, *hidden, width])

    def forward(self, x):
        x = x + self.attn(rms(x))
        return x + self.mlp(rms(x))


class GlobalMlp(nn.Module):
    def __init__(self, widths, counts, hidden):
        super().__init__()
        self.order = sorted(widths)
        self.counts = [counts[name] for name in self.order]
        self.layers = mlp([sum(widths.values()), *hidden, sum(counts.values())])

    def forward(self, inputs):
        out = self.layers(torch.cat([inputs[name] for name in self.order], -1))
        return dict(zip(self.order, out.split(self.counts, -1), strict=True))


class GlobalTransformer(nn.Module):
    def __init__(self, widths, counts, width, blocks, heads, base, hidden):
        super().__init__()
        self.order = sorted(widths)
        self.counts = [counts[name] for name in self.order]
        self._input_projector = Map(sum(widths.values()), width)
        self._output_head = Map(width, sum(counts.values()))
        self._blocks = nn.ModuleList(
            TransformerBlock(width, heads, base, hidden) for _ in range(blocks)
        )

    def forward(self, inputs):
        x = torch.cat([rms(inputs[name]) for name in self.order], -1)
        x = self._input_projector(x)
        for block in self._blocks:
            x = block(x)
        out = self._output_head(x).split(self.counts, -1)
        return dict(zip(self.order, out, strict=True))


class Gain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x):
        return rms(x) * self.weight


class ReverseResidual(nn.Module):
    """groups: (name, paths of modules) in the order of work. attention: (heads,
    base) or None."""

    def __init__(self, widths, counts, width, hidden, groups, attention, transition):
        super().__init__()
        self.groups, self.width, self.counts = groups, width, counts
        parts = ["_inp_projectors", "_readers", "_reader_norms", "_transitions"]
        parts += ["_transition_norms", "_attn_transitions", "_attn_norms"]
        for part in parts if attention else parts[:-2]:
            self.add_module(part, nn.ModuleDict())
        self.attention = attention is not None
        for i, (name, paths) in enumerate(groups):
            name = name.replace(".", "-")
            self._inp_projectors[name] = Map(sum(widths[p] for p in paths), width)
            outputs = sum(counts[p] for p in paths)
            self._readers[name] = mlp([width, *hidden, outputs])
            self._reader_norms[name] = Gain(width)
            if i + 1 == len(groups):
                break
            self._transitions[name] = (
                Map(width, width)
                if transition is None
                else mlp([width, transition, width])
            )
            self._transition_norms[name] = Gain(width)
            if self.attention:
                self._attn_transitions[name] = SelfAttention(width, *attention)
                self._attn_norms[name] = Gain(width)

    def forward(self, inputs):
        out, r = {}, 0.0
        for i, (name, paths) in enumerate(self.groups):
            name = name.replace(".", "-")
            r = r + self._inp_projectors[name](torch.cat([inputs[p] for p in paths], -1))
            if i + 1 < len(self.groups):
                if self.attention:
                    r = r + self._attn_transitions[name](self._attn_norms[name](r))
                r = r + self._transitions[name](self._transition_norms[name](r))
            z = self._readers[name](self._reader_norms[name](r))
            z = z.split([self.counts[p] for p in paths], -1)
            out.update(zip(paths, z, strict=True))
        return out


def _swish(u):
    return u * torch.sigmoid(10 * u)


def _anti_swish(u):
    return u * torch.sigmoid(-10 * u)


def sigmoids(kind, z):
    """(lower, upper) of a logit."""

    def upper_leaky(z):
        return torch.where(z > 1, 1 + 0.01 * (z - 1), z.clamp(0, 1))

    if kind == "leaky_hard":
        return z.clamp(0, 1), upper_leaky(z)
    if kind == "hard":
        return z.clamp(0, 1), z.clamp(0, 1)
    if kind == "upper_leaky_hard":
        return upper_leaky(z), upper_leaky(z)
    if kind == "normal":
        return torch.sigmoid(z), torch.sigmoid(z)
    w = z - 0.5
    y = 0.5 + _anti_swish(w - 0.5) - _swish(w) + _swish(w + 0.5) - _anti_swish(w)
    return y, y
