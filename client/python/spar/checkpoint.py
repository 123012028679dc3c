"""A snapshot folder read by hand: tensors, digests, canonical config.

The digests are defined in models/snapshot/snapshot.h and docs/certificate.md.
"""

import hashlib
import json
import pathlib
import re
from dataclasses import dataclass

import numpy as np

# Tensors that some checkpoints carry and that are no weights.
_BUFFERS = {
    "gpt2": r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)",
    "gpt_neox": r"(gpt_neox\.)?(layers\.\d+\.attention\.)?"
    r"(bias|masked_bias|rotary_emb\.inv_freq)",
}
_BUFFERS_ELSEWHERE = r".*rotary_emb\.inv_freq"
_UNEMBEDDINGS = ("lm_head.weight", "embed_out.weight")


@dataclass
class StoredTensor:
    dtype: str  # "F32", "F16", "BF16"
    shape: tuple
    data: np.ndarray  # bytes

    def to_float64(self):
        if self.dtype == "BF16":
            wide = self.data.view("<u2").astype(np.uint32) << 16
            values = wide.view(np.float32)
        else:
            values = self.data.view({"F32": "<f4", "F16": "<f2"}[self.dtype])
        return values.astype(np.float64).reshape(self.shape)


def read_config(folder):
    return json.loads(pathlib.Path(folder, "config.json").read_text())


def _read_file(path):
    data = np.memmap(path, dtype=np.uint8, mode="r")
    header_size = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8 : 8 + header_size]))
    header.pop("__metadata__", None)
    body = data[8 + header_size :]
    return {
        name: StoredTensor(
            entry["dtype"],
            tuple(entry["shape"]),
            body[slice(*entry["data_offsets"])],
        )
        for name, entry in header.items()
    }


def read_tensors(folder, file="model.safetensors"):
    """Every tensor of the file, or of those that its index names, by name."""
    folder = pathlib.Path(folder)
    index = folder / f"{file}.index.json"
    files = [file]
    if not (folder / files[0]).exists() and index.exists():
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    tensors = {}
    for file in files:
        for name, tensor in _read_file(folder / file).items():
            if name in tensors:
                raise ValueError(f"tensor {name} stands in two files")
            tensors[name] = tensor
    return tensors


def _is_tied(config):
    family = config["model_type"]
    untied = ("llama", "mistral", "qwen2", "gpt_neox")
    return config.get("tie_word_embeddings", family not in untied)


def weights_of(config, tensors):
    """The tensors that are weights: no buffers, no copy of tied embeddings."""
    buffers = re.compile(_BUFFERS.get(config["model_type"], _BUFFERS_ELSEWHERE))
    tied = _is_tied(config)
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not buffers.fullmatch(name) and not (tied and name in _UNEMBEDDINGS)
    }


def weights_digest(config, tensors):
    return tensors_digest(weights_of(config, tensors))


def tensors_digest(tensors):
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(str(extent) for extent in tensor.shape)
        digest.update(f"{name}\0{tensor.dtype}\0{shape}\0".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def reference_prompts(folder):
    """Token ids of the lines of reference_prompts.txt; empty without the file."""
    path = pathlib.Path(folder, "reference_prompts.txt")
    if not path.exists():
        return []
    # Only a mean reference needs a tokenizer.
    from transformers import PreTrainedTokenizerFast

    file = str(pathlib.Path(folder, "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file).backend_tokenizer
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    prompts = [
        line for line in lines if line.strip(" \t\v\f") and not line.startswith("#")
    ]
    return [tokenizer.encode(prompt).ids for prompt in prompts]
