"""llama_simple_mlp, llama_simple and gpt2_simple in float64.

transformers does not know these families. Each is a pre-norm decoder over a
dictionary of weights; see the keys below.
"""

import math

import torch
from torch.nn.functional import gelu, silu

from .exact_model import ExactModel

FAMILIES = ("llama_simple_mlp", "llama_simple", "gpt2_simple")


class SimpleModel(ExactModel):
    """config: the folder's config.json. weights: float64 arrays by name."""

    def __init__(self, config, weights):
        self.family = config["model_type"]
        if self.family not in FAMILIES:
            raise ValueError(f"model_type {self.family} is not one of {FAMILIES}")
        self._config = config
        self._weights = {name: torch.as_tensor(w) for name, w in weights.items()}
        weights = self._weights
        self._watched = frozenset()
        self._edit_linear = None
        self._rms = self.family != "gpt2_simple"
        self.num_layers = config.get("n_layer", 12)
        self.num_heads = config.get("n_head", 12)
        self.vocab_size, self.width = weights["wte.weight"].shape
        self.head_dim = self.width // self.num_heads
        self.num_neurons = weights["h.0.mlp.down_proj.weight"].shape[1]
        self.context_length = config.get("block_size", 1024)
        grouped = config.get("use_grouped_query_attention", True)
        self._num_kv_heads = (
            config.get("n_key_value_heads", 3)
            if self._rms and grouped
            else self.num_heads
        )
        self.attention_modules = [f"h.{i}.attn" for i in range(self.num_layers)]
        self.mlp_modules = [f"h.{i}.mlp" for i in range(self.num_layers)]

    def _linear(self, name, x):
        y = x @ self._weights[f"{name}.weight"].T
        bias = self._weights.get(f"{name}.bias")
        return self._edited(name, x, y if bias is None else y + bias)

    def _edited(self, name, x, y):
        if self._edit_linear is None or name not in self._watched:
            return y
        return self._edit_linear(name, x, y)

    def watch(self, names):
        unknown = [name for name in names if f"{name}.weight" not in self._weights]
        if unknown:
            raise ValueError(f"the model has no weight {unknown[0]}.weight")
        self._watched = frozenset(names)

    def _norm(self, name, x):
        eps = self._config.get("rms_norm_eps", 1e-6)
        if not self._rms:
            eps = 1e-5
            x = x - x.mean(dim=-1, keepdim=True)
        x = x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps)
        x = x * self._weights[f"{name}.weight"]
        return x if self._rms else x + self._weights[f"{name}.bias"]

    def _rotate(self, x, positions):
        """x: [row, head, position, head_dim]; the whole head turns."""
        if not self._rms:
            return x
        half = self.head_dim // 2
        base = self._config.get("rotary_base", 10000)
        last = self._config.get("n_ctx", 1024) - 1
        pairs = torch.arange(half, dtype=torch.float64)
        angles = positions.clamp(max=last)[:, None, :, None] * (
            float(base) ** (-pairs / half)
        )
        cos, sin = angles.cos(), angles.sin()
        turned = torch.empty_like(x)
        if self._config.get("rotary_adjacent_pairs", False):
            first, second = slice(0, None, 2), slice(1, None, 2)
        else:
            first, second = slice(0, half), slice(half, None)
        turned[..., first] = x[..., first] * cos - x[..., second] * sin
        turned[..., second] = x[..., second] * cos + x[..., first] * sin
        return turned

    def _qkv(self, block, x):
        """Three of [row, head, position, head_dim]."""
        fused = f"{block}.attn.c_attn"
        if f"{fused}.weight" in self._weights:
            q, k, v = self._linear(fused, x).chunk(3, dim=-1)
        else:
            q, k, v = (self._linear(f"{block}.attn.{n}_proj", x) for n in "qkv")

        def by_head(y):
            shape = (*y.shape[:2], -1, self.head_dim)
            return y.reshape(shape).transpose(1, 2)

        groups = self.num_heads // self._num_kv_heads
        k, v = (by_head(y).repeat_interleave(groups, dim=1) for y in (k, v))
        return by_head(q), k, v

    def _heads(self, block, x, positions):
        q, k, v = self._qkv(block, x)
        q, k = self._rotate(q, positions), self._rotate(k, positions)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        readable = positions[:, None, None, :] <= positions[:, None, :, None]
        mixed = scores.masked_fill(~readable, -math.inf).softmax(dim=-1) @ v
        return mixed.transpose(1, 2).reshape(*x.shape[:2], -1)

    def _neurons(self, block, x):
        if self.family == "llama_simple":
            gate = silu(self._linear(f"{block}.mlp.gate_proj", x))
            return gate * self._linear(f"{block}.mlp.up_proj", x)
        return gelu(self._linear(f"{block}.mlp.c_fc", x), approximate="tanh")

    def run(self, tokens, positions, edit=None, every_position=False, linear=None):
        self._edit_linear = linear
        tokens, positions = torch.as_tensor(tokens), torch.as_tensor(positions)
        norms = ("rms_1", "rms_2") if self._rms else ("ln_1", "ln_2")
        x = self._edited("wte", tokens, self._weights["wte.weight"][tokens])
        if not self._rms:
            x = x + self._weights["wpe.weight"][positions]
        for i in range(self.num_layers):
            block = f"h.{i}"
            z = self._heads(block, self._norm(f"{block}.{norms[0]}", x), positions)
            z = z if edit is None else edit("head", i, z)
            x = x + self._linear(f"{block}.attn.o_proj", z)
            neurons = self._neurons(block, self._norm(f"{block}.{norms[1]}", x))
            neurons = neurons if edit is None else edit("neuron", i, neurons)
            x = x + self._linear(f"{block}.mlp.down_proj", neurons)
        if not every_position:
            x = x[:, -1]
        unembedding = self._weights.get("lm_head.weight", self._weights["wte.weight"])
        return self._norm("ln_f", x) @ unembedding.T
