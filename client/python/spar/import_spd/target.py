"""The target model of a run, as a snapshot that Spar loads.

Its weights are in the run's own checkpoint, but how they are used (the number
of heads, the norm's epsilon, the rotation) is not: that is in the target's own
folder, `model_config.yaml` of the library's pretraining or `config.json` of
Hugging Face.
"""

import pathlib
import warnings
from dataclasses import dataclass, field

from spar import checkpoint

from .families import (
    FAMILIES,
    SIMPLE_CLASSES,
    TRANSFORMERS_CLASSES,
    family_of_class,
)
from .folder import Folder, read_json, read_yaml
from .refusal import Refused
from .simple_target import read_simple_config, simple_shapes
from .state_dict import Tensors, import_torch, read_checkpoint

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_CHECKPOINT = r"model_step_(\d+)\.pt"
# What a hostile safetensors file may make a reader raise.
_MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    RuntimeError,
    OverflowError,
)


@dataclass
class Target:
    family: object  # families.Family
    config: dict  # config.json
    num_layers: int
    tensors: dict = field(repr=False)  # torch tensors by name, as stored

    def modules(self):
        """Family.modules, of those that this model has."""
        return [
            (path, what)
            for path, what in self.family.modules(self.num_layers)
            if f"{path}.weight" in self.tensors or what not in ("site", "embedding")
        ]

    def weight(self, path):
        """[d_out, d_in] as torch's Linear has it, a view; of the embedding
        [width, vocabulary]."""
        stored = self.tensors[f"{path}.weight"]
        turned = self.family.transposed or path == self.family.embedding
        return stored.T if turned else stored

    def bias(self, path):
        return self.tensors.get(f"{path}.bias")


def read_target(model_class, where, own, folder):
    """The Target.

    model_class: of the run's config, where: its file. own: Tensors of the run,
    from which those of the target are taken; they may be missing. folder: the
    target's Folder, or the run's own.
    """
    family, config, simple = _describe(model_class, where, folder)
    mine = {
        name.removeprefix("target_model."): own.take(name)
        for name in own.names("target_model.")
    }
    elsewhere = _weights_in(folder, simple, config)
    if not mine and not elsewhere:
        raise Refused(
            f"{own.file}: has no tensors of the target model, and neither has "
            f"{folder.path}"
        )
    tensors = _weights_of(mine or elsewhere, family, config, own.file)
    if mine and elsewhere:
        others = _weights_of(elsewhere, family, config, folder.path)
        _refuse_another_model(tensors, others, folder.path)
    if simple:
        _check_shapes(tensors, config, own.file)
    if f"{family.embedding}.weight" not in tensors:
        raise Refused(f"{own.file}: tensor {family.embedding}.weight is missing")
    return Target(family, config, _count_layers(family, tensors), tensors)


def _describe(model_class, where, folder):
    """(Family, config.json, whether it is from a model_config.yaml)."""
    named = family_of_class(model_class, where)
    is_simple = named is not None and named.model_type in SIMPLE_CLASSES.values()
    names = ("model_config.yaml", "config.json") if is_simple else ("config.json",)
    path = next(filter(None, map(folder.find, names)), None)
    if path is None:
        raise Refused(
            f"{folder.path}: want {' or '.join(names)}: the run does not say how "
            f"many heads its target ({model_class}) has; name the target's folder "
            "with --target"
        )
    if path.name == "config.json":
        return *_read_hub_config(path, named), False
    _refuse_frozen_norms(folder)
    return *read_simple_config(read_yaml(path), path, named), True


def _refuse_frozen_norms(folder):
    found = [p.name for p in folder.path.iterdir() if p.name.endswith("ln-stds.json")]
    if found:
        raise Refused(
            f"{folder.path / found[0]}: norms with constant scales are not supported"
        )


def _read_hub_config(path, named):
    config = read_json(path)
    model_type = config.get("model_type")
    known = TRANSFORMERS_CLASSES.values()
    if named is not None and model_type != named.model_type:
        raise Refused(
            f"{path}: model_type: is {model_type!r}, the run decomposes "
            f"{named.model_type}"
        )
    if named is None and model_type not in known:
        raise Refused(
            f"{path}: model_type: want one of {', '.join(known)}, not {model_type!r}"
        )
    return FAMILIES[model_type], config


def _weights_in(folder, simple, config):
    """Tensors of the target's own folder; empty where it has none."""
    if simple:
        for place in (folder, folder.subfolder("checkpoints")):
            steps = place.numbered(_CHECKPOINT) if place is not None else {}
            if steps:
                path = steps[max(steps)]
                state = Tensors(read_checkpoint(path), path)
                return {name: state.take(name) for name in state.names()}
        return {}
    if not _has_safetensors(folder):
        return {}
    try:
        stored = checkpoint.weights_of(config, checkpoint.read_tensors(folder.path))
        tensors = {name: _mapped(tensor) for name, tensor in stored.items()}
    except _MALFORMED as error:
        raise Refused(f"{folder.path}: cannot read its tensors: {error}") from error
    prefix = FAMILIES[config["model_type"]].embedding.partition(".")[0] + "."
    if any(name.startswith(prefix) for name in tensors):
        return tensors
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _has_safetensors(folder):
    """Whether there are weights, all of them in the folder itself."""
    if folder.find("model.safetensors") is not None:
        return True
    path = folder.find("model.safetensors.index.json")
    if path is None:
        return False
    names = read_json(path).get("weight_map")
    if not isinstance(names, dict):
        raise Refused(f"{path}: weight_map: want an object")
    for name in names.values():
        if not isinstance(name, str) or "/" in name or folder.find(name) is None:
            raise Refused(f"{path}: weight_map: {name!r} is no file in the folder")
    return True


def _mapped(tensor):
    """A checkpoint.StoredTensor as a torch tensor of the same bytes."""
    torch = import_torch()
    dtypes = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    data = tensor.data
    if data.ctypes.data % 4 != 0:
        data = data.copy()
    with warnings.catch_warnings():
        # The file is mapped read-only, and nobody writes to it.
        warnings.simplefilter("ignore", UserWarning)
        held = torch.from_numpy(data)
    return held.view(dtypes[tensor.dtype]).reshape(tensor.shape)


def _weights_of(tensors, family, config, file):
    """Those that are weights, as the family stores them: no buffers, and no
    second copy of a tied embedding, which must be one."""
    torch = import_torch()
    head, embedding = f"{family.unembedding}.weight", f"{family.embedding}.weight"
    if head not in tensors:
        alias = f"{family.unembedding_alias}.weight"
        tensors = {head if n == alias else n: held for n, held in tensors.items()}
    kept = checkpoint.weights_of(config, tensors)
    if head in tensors and head not in kept and embedding in tensors:
        if not torch.equal(tensors[head], tensors[embedding]):
            raise Refused(
                f"{file}: tensor {head} differs from {embedding}, although "
                f"{config['model_type']} ties them"
            )
    if head not in tensors and _is_untied(kept, config, head):
        raise Refused(f"{file}: tensor {head} is missing")
    return kept


def _is_untied(kept, config, head):
    """Whether the model uses an unembedding of its own."""
    return head in checkpoint.weights_of(config, {**kept, head: None})


def _refuse_another_model(tensors, others, folder):
    torch = import_torch()
    for name in sorted(tensors.keys() | others.keys()):
        if name not in tensors or name not in others:
            where = "its folder" if name in others else "the run"
            raise Refused(f"{folder}: is not the run's target: only {where} has {name}")
        mine, other = tensors[name], others[name]
        if mine.shape != other.shape or not torch.equal(mine.float(), other.float()):
            raise Refused(
                f"{folder}: is not the run's target: tensor {name} has other values"
            )


def _check_shapes(tensors, config, file):
    wanted = simple_shapes(config)
    del wanted["lm_head.weight"]
    held = Tensors(tensors, file)
    for name, shape in wanted.items():
        held.take(name, *shape)
    held.finish()


def _count_layers(family, tensors):
    count = 0
    while any(name.startswith(family.layer.format(count) + ".") for name in tensors):
        count += 1
    return count


def tokenizer_files(named, *folders):
    """Name to bytes of what goes beside the model. named: the file or folder
    the user gave, None for the first of the folders that has any."""
    if named is not None:
        path = pathlib.Path(named)
        if path.is_file():
            return {"tokenizer.json": path.read_bytes()}
        folders = [Folder(path, confined=False)]
    for folder in folders:
        paths = {name: folder.find(name) for name in TOKENIZER_FILES}
        found = {name: path.read_bytes() for name, path in paths.items() if path}
        if "tokenizer.json" in found or {"vocab.json", "merges.txt"} <= found.keys():
            return found
    if named is not None:
        raise Refused(f"{named}: want tokenizer.json, or vocab.json and merges.txt")
    return {}
