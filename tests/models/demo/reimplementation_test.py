#!/usr/bin/env python3
"""The demo model, re-implemented in torch alone, answers its held-out queries.

Shares nothing with the C++ code but the committed files: config.json,
model.safetensors, tokenizer.json (read by `tokenizers`) and queries.txt.
"""

import collections
import json
import math
import pathlib
import sys

import tokenizers
import torch
from safetensors.torch import load_file

DEMO = pathlib.Path(__file__).resolve().parents[3] / "models/demo"


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return x * (x.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt() * weight


def rotate(x: torch.Tensor, base: float) -> torch.Tensor:
    """x: [head][position][head_dim], the halves turned against each other."""
    half = x.shape[-1] // 2
    frequencies = base ** (-torch.arange(half, dtype=x.dtype) / half)
    angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * frequencies
    low, high = x[..., :half], x[..., half:]
    return torch.cat([low * angles.cos() - high * angles.sin(),
                      high * angles.cos() + low * angles.sin()], -1)


def last_logits(config: dict, weights: dict, ids: list[int]) -> torch.Tensor:
    heads, epsilon = config["n_head"], config["rms_norm_eps"]
    x = weights["wte.weight"][ids]
    length, width = x.shape
    future = torch.full((length, length), -math.inf, dtype=x.dtype).triu(1)
    for layer in range(config["n_layer"]):
        module = f"h.{layer}."
        h = rms_norm(x, weights[module + "rms_1.weight"], epsilon)
        q, k, v = ((h @ weights[f"{module}attn.{name}_proj.weight"].T)
                   .view(length, heads, -1).transpose(0, 1) for name in "qkv")
        q, k = rotate(q, config["rotary_base"]), rotate(k, config["rotary_base"])
        scores = q @ k.transpose(1, 2) / math.sqrt(width // heads) + future
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(length, width)
        x = x + mixed @ weights[module + "attn.o_proj.weight"].T
        h = rms_norm(x, weights[module + "rms_2.weight"], epsilon)
        up = h @ weights[module + "mlp.c_fc.weight"].T
        gelu = torch.nn.functional.gelu(up, approximate="tanh")
        x = x + gelu @ weights[module + "mlp.down_proj.weight"].T
    x = rms_norm(x[-1], weights["ln_f.weight"], epsilon)
    return weights["lm_head.weight"] @ x


def main() -> int:
    torch.set_num_threads(1)
    config = json.loads((DEMO / "model/config.json").read_text())
    weights = {name: tensor.double() for name, tensor
               in load_file(DEMO / "model/model.safetensors").items()}
    tokenizer = tokenizers.Tokenizer.from_file(str(DEMO / "model/tokenizer.json"))
    queries = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO / "queries.txt"
    asked, right = collections.Counter(), collections.Counter()
    for line in queries.read_text().splitlines():
        kind, prompt, answer = line.split("\t")
        logits = last_logits(config, weights, tokenizer.encode(prompt).ids)
        asked[kind] += 1
        right[kind] += tokenizer.id_to_token(int(logits.argmax())) == answer
    for kind, count in asked.items():
        print(f"accuracy {kind:10} {right[kind] / count:.4f} ({right[kind]} of {count})")
    good = len(asked) == 6 and all(
        right[kind] >= 0.95 * count for kind, count in asked.items())
    print("passed" if good else "FAILED: want 0.95 of each of six types")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
