"""The decoders that spd decomposes, as torch modules with its names.

Written from their formulae; of transformers' own there is nothing to write.
"""

import math

import torch
from torch import nn


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * (x * x).mean(-1, keepdim=True).add(self.eps).rsqrt() * self.weight


class Attention(nn.Module):
    def __init__(self, config, gpt2):
        super().__init__()
        width = config["n_embd"]
        self.rotary = None if gpt2 else config
        self.heads = config["n_head"]
        self.head = width // self.heads
        bias = gpt2 or config["attn_bias"]
        self.fused = not gpt2 and not config["use_grouped_query_attention"]
        separate = self.heads if gpt2 or self.fused else config["n_key_value_heads"]
        self.kv_heads = separate
        if self.fused:
            self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        else:
            self.q_proj = nn.Linear(width, width, bias=bias)
            self.k_proj = nn.Linear(width, self.kv_heads * self.head, bias=bias)
            self.v_proj = nn.Linear(width, self.kv_heads * self.head, bias=bias)
        self.o_proj = nn.Linear(width, width, bias=bias)

    def _turn(self, x):
        """x: [batch, head, position, head width]; the whole head rotates."""
        if self.rotary is None:
            return x
        half = self.head // 2
        j = torch.arange(half, dtype=x.dtype)
        angle = torch.arange(x.shape[2], dtype=x.dtype)[:, None] / (
            float(self.rotary["rotary_base"]) ** (j / half)
        )
        cos, sin = angle.cos(), angle.sin()
        if self.rotary["rotary_adjacent_pairs"]:
            a, b = x[..., 0::2], x[..., 1::2]
            pairs = torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1)
            return pairs.flatten(-2)
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def forward(self, x):
        if self.fused:
            q, k, v = self.c_attn(x).chunk(3, dim=-1)
        else:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q, k, v = (
            y.unflatten(-1, (-1, self.head)).transpose(1, 2) for y in (q, k, v)
        )
        q, k = self._turn(q), self._turn(k)
        times = self.heads // self.kv_heads
        k, v = (y.repeat_interleave(times, dim=1) for y in (k, v))
        scores = q @ k.mT / math.sqrt(self.head)
        length = scores.shape[-1]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        return self.o_proj(mixed.transpose(1, 2).flatten(-2))


class Mlp(nn.Module):
    def __init__(self, config, gpt2, gated):
        super().__init__()
        width = config["n_embd"]
        hidden = 4 * width if gpt2 else config["n_intermediate"]
        bias = gpt2 or config["mlp_bias"]
        self.gated = gated
        if gated:
            self.gate_proj = nn.Linear(width, hidden, bias=bias)
            self.up_proj = nn.Linear(width, hidden, bias=bias)
        else:
            self.c_fc = nn.Linear(width, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, x):
        if self.gated:
            return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return self.down_proj(nn.functional.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config, gpt2, gated):
        super().__init__()
        self.gpt2 = gpt2
        width = config["n_embd"]
        if gpt2:
            self.ln_1 = nn.LayerNorm(width, eps=1e-5)
        else:
            self.rms_1 = RmsNorm(width, config["rms_norm_eps"])
        self.attn = Attention(config, gpt2)
        if gpt2:
            self.ln_2 = nn.LayerNorm(width, eps=1e-5)
        else:
            self.rms_2 = RmsNorm(width, config["rms_norm_eps"])
        self.mlp = Mlp(config, gpt2, gated)

    def forward(self, x):
        first = self.ln_1 if self.gpt2 else self.rms_1
        x = x + self.attn(first(x))
        second = self.ln_2 if self.gpt2 else self.rms_2
        return x + self.mlp(second(x))


class SimpleDecoder(nn.Module):
    """kind: LlamaSimpleMLP, LlamaSimple or GPT2Simple. Returns (logits, None)."""

    def __init__(self, kind, config):
        super().__init__()
        gpt2 = kind == "GPT2Simple"
        width = config["n_embd"]
        self.wte = nn.Embedding(config["vocab_size"], width)
        if gpt2:
            self.wpe = nn.Embedding(config["block_size"], width)
        self.h = nn.ModuleList(
            Block(config, gpt2, kind == "LlamaSimple") for _ in range(config["n_layer"])
        )
        self.ln_f = (
            nn.LayerNorm(width, eps=1e-5)
            if gpt2
            else RmsNorm(width, config["rms_norm_eps"])
        )
        self.lm_head = nn.Linear(width, config["vocab_size"], bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, tokens):
        x = self.wte(tokens)
        if hasattr(self, "wpe"):
            x = x + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)), None


def randomise(model, seed):
    """Draws weights of which every part shows: gains away from 1, biases from 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith(("wte.weight", "wpe.weight", "embed_tokens.weight")):
            noise = 0.3 * noise
        elif parameter.dim() == 2:
            noise = 1.3 * noise / min(parameter.shape) ** 0.5
        elif name.endswith("weight"):
            noise = 1 + 0.3 * noise
        else:
            noise = 0.3 * noise
        parameter.data.copy_(noise)
