"""An imported snapshot folder in float64, with its modules' inputs in reach.

Families of spd run in client/python/spar/exact_simple.py, others in
transformers.
"""

import json
import pathlib

import torch
import transformers

from numpy_decomposition import read_tensors
from spar.exact_simple import FAMILIES, SimpleModel


class _OfSpd:
    """replace: from a path and its input to an output, or to None."""

    embedding = "wte"

    def __init__(self, config, weights):
        self._model = SimpleModel(config, weights)
        self.inputs, self.replace = {}, None
        matrices = [name for name, weight in weights.items() if weight.ndim == 2]
        others = ("wpe.weight", "lm_head.weight")
        self._model.watch(
            [name.removesuffix(".weight") for name in matrices if name not in others]
        )

    def _hook(self, path, x, output):
        x = x[0].numpy()
        self.inputs[path] = x
        other = self.replace and self.replace(path, x)
        return output if other is None else torch.from_numpy(other)[None]

    def logits(self, tokens):
        positions = [list(range(len(tokens)))]
        logits = self._model.run([tokens], positions, None, True, self._hook)
        return logits[0].numpy()


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
            self._runner = _OfSpd(self.config, self.tensors)
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
