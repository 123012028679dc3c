"""docs/formats.md read by itself, in numpy and float64.

Nothing here is shared with the importer or with torch; a line of the page
stands behind every line of arithmetic.
"""

import json
import math
import pathlib

import numpy as np

_ERF = np.vectorize(math.erf, otypes=[float])


def read_tensors(path):
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "F32", name
        values = np.frombuffer(data[8 + size + begin : 8 + size + end], "<f4")
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors


def rms(x):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 2.0**-23)


def gelu(x):
    return x / 2 * (1 + _ERF(x / math.sqrt(2)))


def logistic(x):
    return 1 / (1 + np.exp(-x))


def upper_leaky(z):
    return np.where(z > 1, 1 + 0.01 * (z - 1), np.clip(z, 0, 1))


def swish_hard(z):
    w = z - 0.5

    def s(u):
        return u * logistic(10 * u)

    def t(u):
        return u * logistic(-10 * u)

    return 0.5 + t(w - 0.5) - s(w) + s(w + 0.5) - t(w)


def clamp(z):
    return np.clip(z, 0, 1)


SIGMOIDS = {
    "leaky_hard": (clamp, upper_leaky),
    "hard": (clamp, clamp),
    "upper_leaky_hard": (upper_leaky, upper_leaky),
    "swish_hard": (swish_hard, swish_hard),
    "normal": (logistic, logistic),
}


class Decomposition:
    """folder: a decomposition folder. embedding: the module that is one."""

    def __init__(self, folder, embedding):
        folder = pathlib.Path(folder)
        self.json = json.loads((folder / "decomposition.json").read_text())
        self.tensors = read_tensors(folder / "decomposition.safetensors")
        self.modules = {entry["name"]: entry for entry in self.json["modules"]}
        self._ci = self.json["ci"]
        self._embedding = embedding
        self._used = set()

    def _tensor(self, name):
        self._used.add(name)
        return self.tensors[name]

    def unused(self):
        """Tensors that nothing here has read."""
        return self.tensors.keys() - self._used

    def v(self, module):
        return self._tensor(f"components.{module}.V")

    def u(self, module):
        return self._tensor(f"components.{module}.U")

    def activations(self, module, x):
        """x: [position, d_in], or token ids for the embedding. [position, C]"""
        if module == self._embedding:
            return self.v(module).T[x]
        return x @ self.v(module).T

    def output(self, module, x, mask, delta, weight, bias):
        """y(m, d). weight: W as Linear has it, [d_out, d_in]."""
        rest = weight - self.u(module).T @ self.v(module)
        y = (mask * self.activations(module, x)) @ self.u(module)
        y = y + delta * (rest.T[x] if module == self._embedding else x @ rest.T)
        return y if bias is None else y + bias

    def _linear(self, name, x):
        """x: [position, in], or [position, C, in] for a parallel map."""
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        if weight.ndim == 2:
            return x @ weight.T + bias
        return np.einsum("coi,pci->pco", weight, x) + bias

    def _mlp(self, prefix, x, hidden):
        for i in range(len(hidden) + 1):
            x = self._linear(f"{prefix}.layers.{i}", gelu(x) if i else x)
        return x

    def _attention(self, prefix, x):
        attention = self._ci["attention"]
        heads, length = attention["heads"], len(x)
        size = x.shape[1] // heads
        assert length <= attention["max_positions"]

        def mapped(part):
            y = x @ self._tensor(f"{prefix}.{part}.weight").T
            return y.reshape(length, heads, size).transpose(1, 0, 2)

        def rotated(y):
            j = np.arange(size // 2)
            base = attention.get("rope_base", 10000.0)
            angle = np.arange(length)[:, None] * base ** (-2 * j / size)
            a, b = y[..., : size // 2], y[..., size // 2 :]
            cos, sin = np.cos(angle), np.sin(angle)
            return np.concatenate((a * cos - b * sin, b * cos + a * sin), -1)

        q, k, v = rotated(mapped("q")), rotated(mapped("k")), mapped("v")
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(length, -1)
        return mixed @ self._tensor(f"{prefix}.o.weight").T

    def _norm(self, name, r):
        return self._tensor(f"{name}.weight") * rms(r)

    def _split(self, z, names):
        ends = np.cumsum([self.modules[name]["components"] for name in names])
        return dict(zip(names, np.split(z, ends[:-1], axis=-1), strict=True))

    def logits(self, inputs):
        """z of every module. inputs: module to [position, d_in], or to ids."""
        kind = self._ci["kind"]
        if not kind.startswith("global_"):
            return {name: self._layerwise(kind, name, inputs[name]) for name in inputs}
        seen = {
            name: self.activations(name, x) if name == self._embedding else x
            for name, x in inputs.items()
        }
        if kind == "global_reverse_residual":
            return self._reverse_residual(seen)
        names = sorted(seen, key=str.encode)
        if kind == "global_shared_mlp":
            joined = np.concatenate([seen[name] for name in names], -1)
            return self._split(self._mlp("ci", joined, self._ci["hidden"]), names)
        h = np.concatenate([rms(seen[name]) for name in names], -1)
        h = self._linear("ci.input", h)
        for i in range(self._ci["blocks"]):
            h = h + self._attention(f"ci.blocks.{i}.attention", rms(h))
            h = h + self._mlp(f"ci.blocks.{i}.mlp", rms(h), self._ci["hidden"])
        return self._split(self._linear("ci.output", h), names)

    def _layerwise(self, kind, name, x):
        hidden = self._ci["hidden"]
        if kind == "shared_mlp":
            return self._mlp(f"ci.{name}", x, hidden)
        if kind == "mlp":
            read = self.activations(name, x)[..., None]
        else:
            count = self.modules[name]["components"]
            read = np.repeat(x[:, None, :], count, axis=1)
        return self._mlp(f"ci.{name}", read, hidden)[..., 0]

    def _reverse_residual(self, seen):
        z, r, groups = {}, 0.0, self._ci["groups"]
        hidden = self._ci["transition_hidden"]
        for i, group in enumerate(groups):
            prefix = f"ci.groups.{i}"
            joined = np.concatenate([seen[name] for name in group["modules"]], -1)
            r = r + self._linear(f"{prefix}.input", joined)
            if i + 1 < len(groups):
                if self._ci["attention"] is not None:
                    read = self._norm(f"{prefix}.attention_norm", r)
                    r = r + self._attention(f"{prefix}.attention", read)
                read = self._norm(f"{prefix}.transition_norm", r)
                maps = [] if hidden is None else [hidden]
                r = r + self._mlp(f"{prefix}.transition", read, maps)
            read = self._norm(f"{prefix}.reader_norm", r)
            out = self._mlp(f"{prefix}.reader", read, self._ci["hidden"])
            z.update(self._split(out, group["modules"]))
        return z

    def importances(self, z):
        """(lower, upper) of the logits of one module."""
        lower, upper = SIGMOIDS[self.json["sigmoid"]]
        if self.json["sampling"] == "binomial":
            return lower(1.05 * z - 0.025), upper(z)
        return lower(z), upper(z)
