"""The checkpoint of a run: tensors by the names of the newest version.

Only this package imports torch, and only when a run is read. Files are loaded
with `weights_only`, so that nothing in them runs.
"""

import zipfile

from .refusal import MissingPackage, Refused

_INSTALL = (
    "reading a run needs PyTorch, which is not installed: "
    "pip install torch --index-url https://download.pytorch.org/whl/cpu"
)
_DTYPES = ("float32", "float16", "bfloat16")
_SHOWN = 4  # names in a message


def import_torch():
    try:
        import torch
    except ImportError as error:
        raise MissingPackage(_INSTALL) from error
    return torch


def read_checkpoint(path):
    """Name to tensor, in the file's order; mapped into memory where that goes."""
    torch = import_torch()
    try:
        # Files of torch before 1.6 are no archives and cannot be mapped.
        state = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except OSError:
        raise
    except Exception as error:  # whatever torch's readers happen to raise
        raise Refused(f"{path}: is no checkpoint of tensors: {_gist(error)}") from error
    if not isinstance(state, dict) or not state:
        raise Refused(f"{path}: want a mapping of names to tensors")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise Refused(f"{path}: entry {name!r}: want a tensor with a name")
        if tensor.layout != torch.strided or tensor.is_meta:
            raise Refused(f"{path}: tensor {name}: want plain numbers")
    return dict(state)


def _gist(error):
    """One line of torch's message, without its advice to trust the file."""
    text = str(error).strip()
    refused = text.partition("Unsupported global: ")[2]
    if refused:
        return f"it calls {refused.removeprefix('GLOBAL ').split()[0]}"
    if "eights only load" in text:
        return "it holds more than tensors"
    return text.splitlines()[0] if text else type(error).__name__


def _renamed(name):
    """One name, through every version in their order."""
    name = name.replace("_gates.", "_ci_fns.")
    if name.startswith("patched_model."):
        name = "target_model." + name.removeprefix("patched_model.")
    for part in ("weight", "bias"):
        if name.endswith(f".original.{part}"):
            name = name.removesuffix(f".original.{part}") + f".{part}"
    for part in ("V", "U", "bias"):
        if name.endswith(f".components.{part}"):
            path = name.removesuffix(f".components.{part}")
            path = path.removeprefix("target_model.")
            name = f"_components.{path.replace('.', '-')}.{part}"
    if name.startswith("_ci_fns."):
        name = "ci_fn." + name
    return name


def rename_legacy(tensors, file):
    """The tensors by their newest names, in the same order."""
    renamed = {}
    for name, tensor in tensors.items():
        new = _renamed(name)
        if new in renamed:
            raise Refused(f"{file}: tensor {name}: another one is {new}, too")
        renamed[new] = tensor
    return renamed


class Tensors:
    """Tensors that are taken one by one; what nobody takes is refused."""

    def __init__(self, tensors, file):
        self.file = file
        self._left = dict(tensors)

    def names(self, prefix=""):
        """Of those not yet taken, in the file's order."""
        return [name for name in self._left if name.startswith(prefix)]

    def __contains__(self, name):
        return name in self._left

    def take(self, name, *shape):
        """The tensor, of float32, float16 or bfloat16 and of this shape."""
        if name not in self._left:
            raise Refused(f"{self.file}: tensor {name} is missing")
        tensor = self._left.pop(name)
        if shape and tuple(tensor.shape) != shape:
            raise Refused(
                f"{self.file}: tensor {name} is {list(tensor.shape)}, "
                f"want {list(shape)}"
            )
        if str(tensor.dtype).removeprefix("torch.") not in _DTYPES:
            raise Refused(
                f"{self.file}: tensor {name} holds {tensor.dtype}, "
                f"want {', '.join(_DTYPES)}"
            )
        return tensor.detach()

    def finish(self):
        if self._left:
            names = list(self._left)
            more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
            raise Refused(
                f"{self.file}: unknown tensors: {', '.join(names[:_SHOWN])}{more}"
            )
