"""The causal importance function of a run, as docs/formats.md has it.

The library's own linear maps are [in, out] (or [C, in, out]); a decomposition
folder holds [out, in], as the attention maps of both do. Nothing is copied
here: a transpose is a view.
"""

import fnmatch
from dataclasses import dataclass

from .refusal import Refused

_LAYERWISE = "ci_fn._ci_fns."
_GLOBAL = "ci_fn._global_ci_fn."
_ROPE_TOLERANCE = 1e-5  # relative; the library keeps float32 frequencies
_ATTENTION_MAPS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}


@dataclass(frozen=True)
class CiModule:
    """A decomposed module as a CI function sees it."""

    path: str
    d_in: int  # of the embedding: the vocabulary
    components: int
    is_embedding: bool

    @property
    def global_width(self):
        """What it adds to the input of a global function."""
        return self.components if self.is_embedding else self.d_in


def convert_ci_function(config, modules, tensors, where):
    """("ci" of decomposition.json, tensors by their new names).

    config: run_config.CiConfig. modules: CiModule in the library's order.
    tensors: state_dict.Tensors, of which those of the function are taken.
    where: file of the config, for messages.
    """
    return _Conversion(config, modules, tensors, where).convert()


def dashed(path):
    """A module's name as torch's ModuleDict may hold it."""
    return path.replace(".", "-")


class _Conversion:
    def __init__(self, config, modules, tensors, where):
        self._config = config
        self._modules = modules
        self._tensors = tensors
        self._where = where
        self._out = {}

    def convert(self):
        self._refuse_the_other_mode()
        kind = self._config.kind
        if not self._config.is_global:
            fields = self._layerwise()
        elif kind == "global_shared_mlp":
            fields = self._global_mlp()
        elif kind == "global_shared_transformer":
            fields = self._transformer()
        else:
            fields = self._reverse_residual()
        return {"kind": kind, **fields}, self._out

    def _refuse_the_other_mode(self):
        wanted = _GLOBAL if self._config.is_global else _LAYERWISE
        if not self._tensors.names(wanted):
            raise Refused(
                f"{self._tensors.file}: has no {wanted}* tensors, which the "
                f"{self._config.kind} function of {self._where} is made of"
            )

    # Layerwise

    def _layerwise(self):
        kind, hidden = self._config.kind, self._config.hidden
        for module in self._modules:
            if module.is_embedding and kind != "mlp":
                raise Refused(
                    f"{self._where}: ci_config: fn_type: {kind} reads the input of "
                    f"{module.path}, an embedding, which only mlp can go with"
                )
            old = f"{_LAYERWISE}{dashed(module.path)}.layers"
            new = f"ci.{module.path}.layers"
            if kind == "shared_mlp":
                widths = (module.d_in, *hidden, module.components)
                self._mlp(old, new, widths)
            else:
                width = 1 if kind == "mlp" else module.d_in
                self._mlp(old, new, (width, *hidden, 1), module.components)
        return {"hidden": list(hidden)}

    # Global

    # The library and the format concatenate in the same order of names, so the
    # maps that read and write all modules need no reordering.

    def _sum(self, modules, what):
        return sum(getattr(module, what) for module in modules)

    def _global_mlp(self):
        outputs = self._sum(self._modules, "components")
        inputs = self._sum(self._modules, "global_width")
        widths = (inputs, *self._config.hidden, outputs)
        self._mlp(f"{_GLOBAL}layers", "ci.layers", widths)
        return {"hidden": list(self._config.hidden)}

    def _transformer(self):
        config = self._config
        width = config.width
        inputs = self._sum(self._modules, "global_width")
        outputs = self._sum(self._modules, "components")
        self._linear(f"{_GLOBAL}_input_projector", "ci.input", inputs, width)
        for i in range(config.blocks):
            old, new = f"{_GLOBAL}_blocks.{i}", f"ci.blocks.{i}"
            self._attention(f"{old}.attn", f"{new}.attention")
            widths = (width, *config.hidden, width)
            self._mlp(f"{old}.mlp", f"{new}.mlp.layers", widths)
        self._linear(f"{_GLOBAL}_output_head", "ci.output", width, outputs)
        return {
            "width": width,
            "blocks": config.blocks,
            "hidden": list(config.hidden),
            "attention": self._attention_fields(),
        }

    def _reverse_residual(self):
        config = self._config
        groups = self._groups()
        for i, (group, modules) in enumerate(groups):
            new = f"ci.groups.{i}"

            def old(part, name=dashed(group.name)):
                return f"{_GLOBAL}{part}.{name}"

            inputs = self._sum(modules, "global_width")
            self._linear(old("_inp_projectors"), f"{new}.input", inputs, config.width)
            if i + 1 < len(groups):
                self._transition(old, new)
            self._gain(old("_reader_norms"), f"{new}.reader_norm")
            outputs = self._sum(modules, "components")
            widths = (config.width, *config.hidden, outputs)
            self._mlp(old("_readers"), f"{new}.reader.layers", widths)
        return {
            "width": config.width,
            "hidden": list(config.hidden),
            "groups": [
                {"name": group.name, "modules": [m.path for m in modules]}
                for group, modules in groups
            ],
            "attention": self._attention_fields(),
            "transition_hidden": config.transition_hidden,
        }

    def _transition(self, old, new):
        width, hidden = self._config.width, self._config.transition_hidden
        if self._config.attention is not None:
            self._gain(old("_attn_norms"), f"{new}.attention_norm")
            self._attention(old("_attn_transitions"), f"{new}.attention")
        self._gain(old("_transition_norms"), f"{new}.transition_norm")
        layers = f"{new}.transition.layers"
        if hidden is None:
            self._linear(old("_transitions"), f"{layers}.0", width, width)
        else:
            self._mlp(old("_transitions"), layers, (width, hidden, width))

    def _groups(self):
        """(Group, its modules): in a group pattern by pattern, for each in the
        order of the modules."""
        found, seen = [], set()
        place = f"{self._where}: ci_config: block_groups"
        for group in self._config.groups:
            modules = []
            for pattern in group.patterns:
                matches = [
                    m for m in self._modules if fnmatch.fnmatchcase(m.path, pattern)
                ]
                if not matches:
                    raise Refused(
                        f"{place}: {pattern} of {group.name} matches no module"
                    )
                modules += matches
            for module in modules:
                if module.path in seen:
                    raise Refused(f"{place}: {module.path} is in there twice")
                seen.add(module.path)
            if not modules:
                raise Refused(f"{place}: {group.name} has no patterns")
            found.append((group, modules))
        for module in self._modules:
            if module.path not in seen:
                raise Refused(f"{place}: {module.path} is in none of them")
        return found

    # Parts

    def _linear(self, old, new, inputs, outputs, members=None):
        """y = x W + b to y = A x + b. members: C of a parallel map."""
        lead = () if members is None else (members,)
        weight = self._tensors.take(f"{old}.W", *lead, inputs, outputs)
        self._out[f"{new}.weight"] = weight.mT
        self._out[f"{new}.bias"] = self._tensors.take(f"{old}.b", *lead, outputs)

    def _mlp(self, old, new, widths, members=None):
        """In the library's numbering an activation counts as a layer, too."""
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            self._linear(f"{old}.{2 * i}", f"{new}.{i}", inputs, outputs, members)

    def _gain(self, old, new):
        width = self._config.width
        self._out[f"{new}.weight"] = self._tensors.take(f"{old}.weight", width)

    def _attention(self, old, new):
        width = self._config.width
        for part, name in _ATTENTION_MAPS.items():
            tensor = self._tensors.take(f"{old}.{name}.weight", width, width)
            self._out[f"{new}.{part}.weight"] = tensor
        self._check_frequencies(f"{old}.rope.inv_freq")

    def _check_frequencies(self, name):
        """The buffer follows from the config; a checkpoint may lack it."""
        if name not in self._tensors:
            return
        attention = self._config.attention
        size = self._config.width // attention.heads
        held = self._tensors.take(name, size // 2).double()
        for j, frequency in enumerate(held.tolist()):
            wanted = attention.rope_base ** (-2 * j / size)
            if not abs(frequency - wanted) <= _ROPE_TOLERANCE * wanted:
                raise Refused(
                    f"{self._tensors.file}: tensor {name}[{j}] is {frequency:.6g}, "
                    f"want {wanted:.6g} for rope_base {attention.rope_base:g}"
                )

    def _attention_fields(self):
        attention = self._config.attention
        if attention is None:
            return None
        return {
            "heads": attention.heads,
            "max_positions": attention.max_positions,
            "rope_base": attention.rope_base,
        }
