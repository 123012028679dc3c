"""Random decompositions of the zoo's models, in folders as docs/formats.md says."""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "client/python")]

from spar import checkpoint  # noqa: E402

ROTARY = {"heads": 2, "max_positions": 12, "rope_base": 50.0}

# Widths that differ everywhere, so that no two can be confused.
KINDS = {
    "mlp": {"kind": "mlp", "hidden": [3, 5]},
    "vector_mlp": {"kind": "vector_mlp", "hidden": [4, 3]},
    "shared_mlp": {"kind": "shared_mlp", "hidden": [6]},
    "affine": {"kind": "shared_mlp", "hidden": []},
    "sequence_bias": {
        "kind": "sequence_mlp",
        "hidden": [4],
        "attention": {
            "key_width": 3,
            "value_width": 5,
            "max_distance": 2,
            "relative": "bias",
            "causal": False,
        },
    },
    "sequence_key": {
        "kind": "sequence_mlp",
        "hidden": [4, 2],
        "attention": {
            "key_width": 4,
            "value_width": 3,
            "max_distance": 4,
            "relative": "key",
            "causal": True,
        },
    },
    "global_mlp": {"kind": "global_shared_mlp", "hidden": [10, 7]},
    "global_affine": {"kind": "global_shared_mlp", "hidden": []},
    "transformer": {
        "kind": "global_shared_transformer",
        "width": 12,
        "blocks": 2,
        "hidden": [9, 11],
        "attention": ROTARY,
    },
    "reverse": {
        "kind": "global_reverse_residual",
        "width": 8,
        "hidden": [5],
        "attention": ROTARY,
        "transition_hidden": 6,
    },
    "reverse_plain": {"kind": "global_reverse_residual", "width": 6, "hidden": []},
}
SIGMOIDS = ("leaky_hard", "hard", "upper_leaky_hard", "swish_hard", "normal")

# A model of the zoo, its Conv1D modules stored as [in, out], and its embedding.
MODELS = {
    "simple_mlp": "wte",
    "simple_mlp_fused": "wte",
    "simple_llama": "wte",
    "gpt2": "transformer.wte",
    "neox": "gpt_neox.embed_in",
    "llama": "model.embed_tokens",
}
SITES = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "c_attn", "c_proj", "c_fc"),
    *("gate_proj", "up_proj", "down_proj"),
    *("query_key_value", "attention.dense", "dense_h_to_4h", "dense_4h_to_h"),
)


def linear_weights(folder, embedding):
    """By module: W as torch's Linear has it, [d_out, d_in], float64."""
    config = checkpoint.read_config(folder)
    weights = {}
    for name, tensor in checkpoint.read_tensors(folder).items():
        module, _, field = name.rpartition(".")
        if field != "weight" or not (module.endswith(SITES) or module == embedding):
            continue
        w = torch.from_numpy(np.array(tensor.to_float64()))
        flip = config["model_type"] == "gpt2" or module == embedding
        weights[module] = w.T if flip else w
    return weights


def write_decomposition(folder, model_folder, weights, ci, sigmoid, seed):
    """A random decomposition of the modules of `weights`, as the document says."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}

    def add(name, *shape, terms=None, center=0.0):
        scale = (terms or shape[-1]) ** -0.5
        noise = torch.randn(shape, generator=generator)
        tensors[name] = center + scale * noise

    def add_linear(name, *shape, center=0.0):
        add(f"{name}.weight", *shape)
        add(f"{name}.bias", *shape[:-1], terms=9, center=center)

    def add_mlp(prefix, inputs, hidden, outputs, members=(), center=0.4):
        sizes = [inputs, *hidden, outputs]
        for j, (n, m) in enumerate(zip(sizes, sizes[1:])):
            last = j == len(hidden)
            add_linear(f"{prefix}.layers.{j}", *members, m, n, center=last * center)

    def add_attention(prefix, width):
        for name in "qkvo":
            add(f"{prefix}.{name}.weight", width, width)

    modules = []
    for i, (name, w) in enumerate(weights.items()):
        c = 3 + i % 5
        d_out, d_in = w.shape
        modules.append({"name": name, "d_in": d_in, "d_out": d_out, "components": c})
        one_hot = name in MODELS.values()
        add(f"components.{name}.V", c, d_in, terms=1 if one_hot else d_in)
        add(f"components.{name}.U", c, d_out, terms=c)
        if ci["kind"] == "mlp":
            add_mlp(f"ci.{name}", 1, ci["hidden"], 1, (c,))
        if ci["kind"] == "vector_mlp":
            add_mlp(f"ci.{name}", d_in, ci["hidden"], 1, (c,))
        if ci["kind"] == "shared_mlp":
            add_mlp(f"ci.{name}", d_in, ci["hidden"], c)
        if ci["kind"] == "sequence_mlp":
            head = ci["attention"]
            k, m, r = head["key_width"], head["value_width"], head["max_distance"]
            for part, rows in (("q", k), ("k", k), ("v", m)):
                add(f"ci.{name}.attention.{part}.weight", rows, d_in)
            by_key = () if head["relative"] == "bias" else (k,)
            add(f"ci.{name}.attention.relative", 2 * r + 1, *by_key, terms=1)
            add_mlp(f"ci.{name}", m + d_in, ci["hidden"], 1, (c,))
    count = {m["name"]: m["components"] for m in modules}

    def width_of(names):
        return sum(
            count[n] if n in MODELS.values() else weights[n].shape[1] for n in names
        )

    if ci["kind"] == "global_shared_mlp":
        add_mlp("ci", width_of(count), ci["hidden"], sum(count.values()))
    if ci["kind"] == "global_shared_transformer":
        width = ci["width"]
        add_linear("ci.input", width, width_of(count))
        for i in range(ci["blocks"]):
            add_attention(f"ci.blocks.{i}.attention", width)
            add_mlp(f"ci.blocks.{i}.mlp", width, ci["hidden"], width, center=0.0)
        add_linear("ci.output", sum(count.values()), width, center=0.4)
    if ci["kind"] == "global_reverse_residual":
        names = list(count)[::-1]
        cuts = [0, 2, len(names) // 2, len(names)]
        groups = [names[a:b] for a, b in zip(cuts, cuts[1:])]
        ci = {
            **ci,
            "groups": [
                {"name": f"part {i}", "modules": g} for i, g in enumerate(groups)
            ],
        }
        width = ci["width"]
        for i, group in enumerate(groups):
            prefix = f"ci.groups.{i}"
            add_linear(f"{prefix}.input", width, width_of(group))
            outputs = sum(count[n] for n in group)
            add(f"{prefix}.reader_norm.weight", width, terms=25, center=1.0)
            add_mlp(f"{prefix}.reader", width, ci["hidden"], outputs)
            if i + 1 == len(groups):
                continue
            if "attention" in ci:
                add(f"{prefix}.attention_norm.weight", width, terms=25, center=1.0)
                add_attention(f"{prefix}.attention", width)
            hidden = [ci["transition_hidden"]] if "transition_hidden" in ci else []
            add(f"{prefix}.transition_norm.weight", width, terms=25, center=1.0)
            add_mlp(f"{prefix}.transition", width, hidden, width, center=0.0)
    config = checkpoint.read_config(model_folder)
    tensor_table = checkpoint.read_tensors(model_folder)
    digest = checkpoint.weights_digest(config, tensor_table)
    folder.mkdir()
    save_file(tensors, folder / "decomposition.safetensors")
    document = {
        "format": "spar-decomposition",
        "version": 1,
        "target": {"weights_digest": digest},
        "modules": modules[::-1],
        "ci": ci,
        "sigmoid": sigmoid,
        "sampling": "binomial" if sigmoid == "hard" else "continuous",
        "delta": True,
        "training": {"seed": seed},
    }
    (folder / "decomposition.json").write_text(json.dumps(document))
