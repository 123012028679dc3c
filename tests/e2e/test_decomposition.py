"""spard with a decomposition beside its model: loaded, told, or refused."""

import hashlib
import json

import numpy as np
from safetensors.numpy import load_file, save_file
from spard_process import Spard

COMPONENTS = 6


def weights_digest(folder):
    """As docs/formats.md defines it; the tied head is not used."""
    sha = hashlib.sha256()
    tensors = load_file(folder / "model.safetensors")
    for name in sorted(set(tensors) - {"lm_head.weight"}):
        tensor = tensors[name]
        sizes = ",".join(map(str, tensor.shape))
        sha.update(f"{name}\0F32\0{sizes}\0".encode() + tensor.tobytes())
    return sha.hexdigest()


def write_decomposition(folder, model_folder, digest):
    """Every q projection, with a shared MLP of no hidden layer."""
    folder.mkdir()
    generator = np.random.default_rng(3)
    tensors, modules = {}, []
    for name, weight in load_file(model_folder / "model.safetensors").items():
        if not name.endswith("q_proj.weight"):
            continue
        module = name.removesuffix(".weight")
        d_out, d_in = weight.shape
        modules.append({"name": module, "d_in": d_in, "d_out": d_out,
                        "components": COMPONENTS})
        shapes = {f"components.{module}.V": (COMPONENTS, d_in),
                  f"components.{module}.U": (COMPONENTS, d_out),
                  f"ci.{module}.layers.0.weight": (COMPONENTS, d_in),
                  f"ci.{module}.layers.0.bias": (COMPONENTS,)}
        for tensor, shape in shapes.items():
            tensors[tensor] = 0.2 * generator.standard_normal(shape).astype(np.float32)
    save_file(tensors, folder / "decomposition.safetensors")
    (folder / "decomposition.json").write_text(json.dumps({
        "format": "spar-decomposition", "version": 1, "modules": modules,
        "target": {"weights_digest": digest}, "ci": {"kind": "shared_mlp", "hidden": []},
        "sigmoid": "leaky_hard", "sampling": "continuous", "delta": True}))
    return folder


def test_a_decomposition_is_loaded_checked_and_told(folders, cache, tmp_path):
    model = folders["tiny"]
    digest = weights_digest(model)
    right = write_decomposition(tmp_path / "right", model, digest)
    with Spard(f"--model=tiny={model}", f"--decomposition=tiny/main={right}",
               "--decomposition-dtype=bfloat16", cache=cache) as spard:
        told = "".join(spard.log.seen)
        assert "models/tiny/decompositions/main: " in told
        modules = len(json.loads((right / "decomposition.json").read_text())["modules"])
        assert f"{modules} modules, {modules * COMPONENTS} subcomponents" in told
        assert "bfloat16" in told
        assert spard.stop() == 0


def test_a_decomposition_of_other_weights_keeps_its_model_away(folders, cache, tmp_path):
    model = folders["tiny"]
    wrong = write_decomposition(tmp_path / "wrong", model, "0" * 64)
    with Spard(f"--model=other={model}", f"--model=tiny={model}",
               f"--decomposition=tiny/main={wrong}", cache=cache) as spard:
        told = "".join(spard.log.seen)
        assert "models/tiny cannot be served" in told
        assert "is a decomposition of weights 000000" in told
        assert spard.stop() == 0
