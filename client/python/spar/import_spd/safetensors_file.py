"""Writes a safetensors file, one tensor in memory at a time."""

import json
import os

from .refusal import Refused
from .state_dict import import_torch

_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def write_safetensors(path, tensors, source):
    """Writes name to torch tensor, views included; returns the bytes written.

    source: the file they are from, for messages. Refuses numbers that are not
    finite.
    """
    torch = import_torch()
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in sorted(tensors.items()):
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, tensor in sorted(tensors.items()):
            if not torch.isfinite(tensor).all():
                raise Refused(f"{source}: tensor {name} holds numbers that are not finite")
            flat = tensor.contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
    return 8 + len(text) + offset
