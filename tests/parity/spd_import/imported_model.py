"""An imported snapshot folder in float64, with its modules' inputs in reach.

Families of spd run in numpy (client/python/spar/exact_simple.py), others in
transformers.
"""

import json
import pathlib

import numpy as np
import torch
import transformers

from numpy_decomposition import read_tensors
from spar.exact_simple import FAMILIES, SimpleModel


class _Hooked(SimpleModel):
    """replace: from a path and its input to an output, or to None."""

    embedding = "wte"

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self._table = weights["wte.weight"]
        self.inputs, self.replace = {}, None
        weights = {"lm_head.weight": self._table, **weights, "wte.weight": self}
        self._weights = weights

    def __getitem__(self, tokens):
        """A look-up in the embedding; tokens: [1, position]."""
        self.inputs["wte"] = tokens[0]
        other = self.replace and self.replace("wte", tokens[0])
        return self._table[tokens] if other is None else other[None]

    def _linear(self, name, x):
        self.inputs[name] = x[0]
        other = self.replace and self.replace(name, x[0])
        return super()._linear(name, x) if other is None else other[None]

    def logits(self, tokens):
        positions = np.arange(len(tokens))[None]
        return self.run(np.array([tokens]), positions, every_position=True)[0]


class _OfTransformers:
    def __init__(self, folder):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        )
        self._model = model.double().eval()
        self.inputs, self.replace = {}, None
        for path, module in self._model.named_modules():
            if module is self._model.get_input_embeddings():
                self.embedding = path
            if getattr(module, "weight", None) is not None:
                module.register_forward_hook(
                    lambda _, args, output, path=path: self._hook(path, args[0], output)
                )

    def _hook(self, path, x, output):
        x = x[0].numpy()
        self.inputs[path] = x
        other = self.replace and self.replace(path, x)
        return output if other is None else torch.from_numpy(other)[None]

    @torch.no_grad()
    def logits(self, tokens):
        return self._model(torch.tensor([tokens])).logits[0].numpy()


class ImportedModel:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = read_tensors(folder / "model.safetensors")
        if self.config["model_type"] in FAMILIES:
            self._runner = _Hooked(self.config, self.tensors)
        else:
            self._runner = _OfTransformers(folder)
        self.embedding = self._runner.embedding

    def run(self, tokens, replace=None):
        """(logits [position, vocabulary], module to its input)."""
        self._runner.inputs, self._runner.replace = {}, replace
        return self._runner.logits(tokens), dict(self._runner.inputs)

    def weight(self, path):
        """[d_out, d_in]."""
        stored = self.tensors[f"{path}.weight"]
        conv1d = self.config["model_type"] == "gpt2"
        return stored.T if conv1d or path == self.embedding else stored

    def bias(self, path):
        return self.tensors.get(f"{path}.bias")
