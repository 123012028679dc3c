"""A run of spd in torch: components, masks, and the CI function beside them.

Written from the formulae, with the library's names of parameters.
"""

import torch
from torch import nn

from reference_ci import Layerwise


class Components(nn.Module):
    """module: Linear, Embedding, or transformers' Conv1D."""

    def __init__(self, module, count):
        super().__init__()
        embedding = isinstance(module, nn.Embedding)
        linear = isinstance(module, nn.Linear)
        self.embedding = embedding
        d_in, d_out = module.weight.shape
        if linear:
            d_in, d_out = d_out, d_in
        self.d_in = d_in
        self.V = nn.Parameter(torch.empty(d_in, count))
        self.U = nn.Parameter(torch.empty(count, d_out))
        bias = getattr(module, "bias", None)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._linear = linear
        self._module = (module,)  # a tuple, so that it is no part of this one

    def activations(self, x):
        return self.V[x] if self.embedding else x @ self.V

    def forward(self, x, mask, delta):
        """mask: broadcasts to [..., C]; delta: a number."""
        weight = self._module[0].weight
        rest = (weight.T if self._linear else weight) - self.V @ self.U
        y = (self.activations(x) * mask) @ self.U
        y = y + delta * (rest[x] if self.embedding else x @ rest)
        return y if self.bias is None else y + self.bias


class CiHolder(nn.Module):
    """Where the library keeps its functions: `_ci_fns` or `_global_ci_fn`."""


class SpdModel(nn.Module):
    """counts: module to C, in the library's order. make_global: from widths and
    counts a global function, else layerwise: (kind, hidden)."""

    def __init__(self, target, counts, layerwise=None, make_global=None):
        super().__init__()
        self.target_model = target
        self.counts = counts
        self._components = nn.ModuleDict(
            {
                path.replace(".", "-"): Components(target.get_submodule(path), count)
                for path, count in sorted(counts.items())
            }
        )
        self.ci_fn = CiHolder()
        if make_global is not None:
            widths = {
                path: count if self.part(path).embedding else self.part(path).d_in
                for path, count in counts.items()
            }
            self.ci_fn._global_ci_fn = make_global(widths, counts)
        else:
            kind, hidden = layerwise
            self.ci_fn._ci_fns = nn.ModuleDict(
                {
                    path.replace(".", "-"): Layerwise(
                        kind, hidden, self.part(path).d_in, count
                    )
                    for path, count in sorted(counts.items())
                }
            )

    def part(self, path):
        return self._components[path.replace(".", "-")]

    @staticmethod
    def _logits(output):
        return output[0] if isinstance(output, tuple) else output.logits

    @torch.no_grad()
    def run(self, tokens, masks=None, delta=0.0):
        """(logits, inputs of the decomposed modules). masks: module to mask."""
        inputs, handles = {}, []
        for path in self.counts:

            def hook(_, args, output, path=path):
                inputs[path] = args[0]
                if masks is None:
                    return output
                return self.part(path)(args[0], masks[path], delta)

            module = self.target_model.get_submodule(path)
            handles.append(module.register_forward_hook(hook))
        try:
            return self._logits(self.target_model(tokens)), inputs
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def ci_logits(self, inputs):
        acts = {path: self.part(path).activations(inputs[path]) for path in self.counts}
        if hasattr(self.ci_fn, "_global_ci_fn"):
            seen = {
                path: acts[path] if self.part(path).embedding else inputs[path]
                for path in self.counts
            }
            return self.ci_fn._global_ci_fn(seen)
        return {
            path: self.ci_fn._ci_fns[path.replace(".", "-")](inputs[path], acts[path])
            for path in self.counts
        }
