"""Decompositions in plain torch, written from docs/formats.md alone.

Reads a folder with the safetensors package and computes what it defines, one
module at a time, with no attention to speed. Nothing here knows Spar's code.
"""

import json
import math
import pathlib

import torch
from safetensors.torch import load_file

EPSILON = 2.0**-23


def _gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _rms(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPSILON)


class Reference:
    """One decomposition folder. Tensors as stored, widened to `dtype`."""

    def __init__(self, folder, dtype=torch.float64):
        folder = pathlib.Path(folder)
        self.json = json.loads((folder / "decomposition.json").read_text())
        index = folder / "decomposition.safetensors.index.json"
        names = ["decomposition.safetensors"]
        if index.exists():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        self.tensors = {}
        for name in names:
            for key, value in load_file(folder / name).items():
                self.tensors[key] = value.to(dtype)
        self.modules = {entry["name"]: entry for entry in self.json["modules"]}
        self.ci = self.json["ci"]

    def v(self, module):
        return self.tensors[f"components.{module}.V"]

    def u(self, module):
        return self.tensors[f"components.{module}.U"]

    def delta(self, module, weight):
        """weight: [d_out, d_in], as torch's Linear."""
        return weight - sum(
            torch.outer(u, v) for u, v in zip(self.u(module), self.v(module))
        )

    # inputs: by module, [T, d_in], or [T] token ids for an embedding module.

    def activations(self, module, x):
        if not x.is_floating_point():
            return torch.stack([self.v(module)[:, token] for token in x])
        return torch.stack([self.v(module) @ row for row in x])

    def logits(self, inputs):
        kind = self.ci["kind"]
        rule = self._own_mlp if kind == "mlp" else getattr(self, f"_{kind}")
        if kind.startswith("global_"):
            return rule(self._global_inputs(inputs))
        return {m: rule(m, inputs[m]) for m in self.modules}

    def _global_inputs(self, inputs):
        return {
            m: x if x.is_floating_point() else self.activations(m, x)
            for m, x in inputs.items()
        }

    def _linear(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _mlp(self, prefix, x, num_hidden):
        for j in range(num_hidden):
            x = _gelu(self._linear(f"{prefix}.layers.{j}", x))
        return self._linear(f"{prefix}.layers.{num_hidden}", x)

    def _one_mlp(self, prefix, c, x):
        """The MLP of subcomponent c of a parallel one. x: [T, in] -> [T]."""
        last = len(self.ci["hidden"])
        for j in range(last + 1):
            weight = self.tensors[f"{prefix}.layers.{j}.weight"][c]
            x = x @ weight.T + self.tensors[f"{prefix}.layers.{j}.bias"][c]
            x = x if j == last else _gelu(x)
        return x[:, 0]

    def _each(self, module, input_of):
        count = self.modules[module]["components"]
        return torch.stack(
            [self._one_mlp(f"ci.{module}", c, input_of(c)) for c in range(count)], 1
        )

    def _own_mlp(self, module, x):
        a = self.activations(module, x)
        return self._each(module, lambda c: a[:, c : c + 1])

    def _vector_mlp(self, module, x):
        return self._each(module, lambda c: x)

    def _shared_mlp(self, module, x):
        return self._mlp(f"ci.{module}", x, len(self.ci["hidden"]))

    def _sequence_mlp(self, module, x):
        spec, prefix = self.ci["attention"], f"ci.{module}.attention"
        q, k, v = (x @ self.tensors[f"{prefix}.{name}.weight"].T for name in "qkv")
        relative = self.tensors[f"{prefix}.relative"]
        reach, rows = spec["max_distance"], []
        for n in range(len(x)):
            keys = range(n + 1) if spec["causal"] else range(len(x))
            scores = []
            for j in keys:
                r = relative[min(max(j - n, -reach), reach) + reach]
                r = r if spec["relative"] == "bias" else q[n] @ r
                scores.append((q[n] @ k[j] + r) / math.sqrt(spec["key_width"]))
            weights = torch.softmax(torch.stack(scores), 0)
            y = sum(weight * v[j] for weight, j in zip(weights, keys))
            rows.append(torch.cat([y, x[n]]))
        joined = torch.stack(rows)
        return self._each(module, lambda c: joined)

    def _split(self, z, names):
        sizes = [self.modules[m]["components"] for m in names]
        return dict(zip(names, z.split(sizes, dim=1)))

    def _global_shared_mlp(self, inputs):
        names = sorted(self.modules)
        x = torch.cat([inputs[m] for m in names], 1)
        return self._split(self._mlp("ci", x, len(self.ci["hidden"])), names)

    def _attention(self, prefix, x):
        heads, base = self.ci["attention"]["heads"], self.ci["attention"]["rope_base"]
        length, width = x.shape
        size = width // heads
        angles = torch.tensor(
            [
                [p * base ** (-2 * j / size) for j in range(size // 2)]
                for p in range(length)
            ],
            dtype=x.dtype,
        )

        def rotate(part):
            low, high = part[:, : size // 2], part[:, size // 2 :]
            cos, sin = torch.cos(angles), torch.sin(angles)
            return torch.cat([low * cos - high * sin, high * cos + low * sin], 1)

        q, k, v = (x @ self.tensors[f"{prefix}.{name}.weight"].T for name in "qkv")
        mixed = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            scores = rotate(q[:, part]) @ rotate(k[:, part]).T / math.sqrt(size)
            mixed.append(torch.softmax(scores, 1) @ v[:, part])
        return torch.cat(mixed, 1) @ self.tensors[f"{prefix}.o.weight"].T

    def _global_shared_transformer(self, inputs):
        names = sorted(self.modules)
        h = self._linear("ci.input", torch.cat([_rms(inputs[m]) for m in names], 1))
        for i in range(self.ci["blocks"]):
            h = h + self._attention(f"ci.blocks.{i}.attention", _rms(h))
            h = h + self._mlp(f"ci.blocks.{i}.mlp", _rms(h), len(self.ci["hidden"]))
        return self._split(self._linear("ci.output", h), names)

    def _global_reverse_residual(self, inputs):
        r, logits = 0, {}
        groups = self.ci["groups"]

        def norm(prefix):
            return _rms(r) * self.tensors[f"{prefix}_norm.weight"]

        for i, group in enumerate(groups):
            name, modules = f"ci.groups.{i}", group["modules"]
            x = torch.cat([inputs[m] for m in modules], 1)
            r = r + self._linear(f"{name}.input", x)
            if i + 1 < len(groups):
                if self.ci.get("attention"):
                    r = r + self._attention(
                        f"{name}.attention", norm(f"{name}.attention")
                    )
                deep = self.ci.get("transition_hidden") is not None
                r = r + self._mlp(
                    f"{name}.transition", norm(f"{name}.transition"), int(deep)
                )
            z = self._mlp(
                f"{name}.reader", norm(f"{name}.reader"), len(self.ci["hidden"])
            )
            logits.update(self._split(z, modules))
        return logits

    def lower(self, z):
        if self.json["sampling"] == "binomial":
            z = 1.05 * z - 0.025
        if self.json["sigmoid"] == "leaky_hard":
            return z.clamp(0, 1)
        return self.upper(z)

    def upper(self, z):
        kind = self.json["sigmoid"]
        if kind == "hard":
            return z.clamp(0, 1)
        if kind == "normal":
            return 1 / (1 + torch.exp(-z))
        if kind == "swish_hard":
            w = z - 0.5

            def s(u):
                return u / (1 + torch.exp(-10 * u))

            def t(u):
                return u / (1 + torch.exp(10 * u))

            return 0.5 + t(w - 0.5) - s(w) + s(w + 0.5) - t(w)
        return torch.where(z > 1, 1 + 0.01 * (z - 1), z.clamp(0, 1))

