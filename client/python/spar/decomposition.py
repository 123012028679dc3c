"""A decomposition folder read by hand: docs/formats.md.

  W = sum_c U[c] V[c]^T + Delta,  W the target's weight, [d_out, d_in]
"""

import hashlib
import json
import pathlib
import re
from dataclasses import dataclass

import torch

from . import checkpoint
from .certificate import canonical_json

# A layer's projections in the order in which they are numbered.
_SITES = (
    r"q_proj",
    r"k_proj",
    r"v_proj",
    r"c_attn|query_key_value",
    r"attn\.c_proj|o_proj|attention\.dense",
    r"gate_proj",
    r"up_proj|c_fc|dense_h_to_4h",
    r"down_proj|mlp\.c_proj|dense_4h_to_h",
)


@dataclass
class Module:
    """One decomposed weight in float64; its units are V's rows, then Delta."""

    name: str
    v: torch.Tensor  # [C, d_in]
    u: torch.Tensor  # [C, d_out]
    delta: torch.Tensor  # [d_out, d_in]
    is_embedding: bool

    @property
    def num_components(self):
        return len(self.v)

    def activations(self, x):
        """[..., C]; x: [..., d_in], of an embedding the token ids."""
        return self.v.T[x] if self.is_embedding else x @ self.v.T

    def delta_output(self, x):
        """[..., d_out]."""
        return self.delta.T[x] if self.is_embedding else x @ self.delta.T


@dataclass
class Decomposition:
    digest: str
    modules: list  # of Module, as they are numbered


def _place(name):
    """Sorts modules: the embedding, then layer by layer."""
    layer = re.search(r"\.(\d+)\.", f".{name}")
    if layer is None:
        return (-1, 0)
    for site, pattern in enumerate(_SITES):
        if re.search(rf"\.({pattern})$", name):
            return (int(layer[1]), site)
    raise ValueError(f"{name} is no projection of a layer")


def _read_json(folder):
    content = json.loads(pathlib.Path(folder, "decomposition.json").read_text())
    if content.get("format") != "spar-decomposition" or content.get("version") != 1:
        raise ValueError(f"{folder} is no decomposition folder of version 1")
    content.pop("training", None)
    for module in content["modules"]:
        module.pop("alive", None)
    attention = content["ci"].get("attention")
    if attention is not None and "heads" in attention:
        attention["rope_base"] = float(attention.get("rope_base", 10000.0))
    content["modules"].sort(key=lambda module: _place(module["name"]))
    return content


def _digest(content, tensors):
    weights = checkpoint.tensors_digest(tensors)
    text = f'{{"config":{canonical_json(content)},"weights":"{weights}"}}'
    return hashlib.sha256(text.encode()).hexdigest()


def read_decomposition(folder, model_folder):
    """The Decomposition in `folder`, of the model in `model_folder`.

    Raises ValueError when it is of other weights, OSError, KeyError.
    """
    content = _read_json(folder)
    config = checkpoint.read_config(model_folder)
    target = checkpoint.read_tensors(model_folder)
    if content["target"]["weights_digest"] != checkpoint.weights_digest(config, target):
        raise ValueError(f"{folder} is a decomposition of other weights")
    tensors = checkpoint.read_tensors(folder, "decomposition.safetensors")
    modules = []
    for entry in content["modules"]:
        name = entry["name"]
        v, u, weight = (
            torch.as_tensor(tensor.to_float64())
            for tensor in (
                tensors[f"components.{name}.V"],
                tensors[f"components.{name}.U"],
                target[f"{name}.weight"],
            )
        )
        is_embedding = _place(name) == (-1, 0)
        # Embeddings are stored [vocab, width], GPT-2's Conv1D [in, out].
        if is_embedding or config["model_type"] == "gpt2":
            weight = weight.T
        modules.append(Module(name, v, u, weight - u.T @ v, is_embedding))
    return Decomposition(_digest(content, tensors), modules)
