"""A run folder to a model folder and a decomposition folder."""

import json
import os
from dataclasses import dataclass

from spar import checkpoint

from .ci_function import CiModule, convert_ci_function, dashed
from .families import expand_patterns
from .folder import Folder, read_yaml
from .migrations import is_first_layout, migrate
from .output import check_free, output_folder
from .refusal import Refused
from .run_config import read_run_config
from .safetensors_file import write_safetensors
from .state_dict import Tensors, import_torch, read_checkpoint, rename_legacy
from .target import read_target, tokenizer_files

CONFIG = "final_config.yaml"
_CHECKPOINT = r"model_(\d+)\.pth"


@dataclass(frozen=True)
class Summary:
    """What was imported."""

    step: int
    model_type: str
    weights_digest: str  # of the target
    kind: str  # of the CI function
    components: dict  # module to C, in the library's order
    delta_share: float  # sum |Delta|^2 / sum |W|^2 over the modules
    has_tokenizer: bool
    tokenizer_name: str | None  # what the run says it used
    written_bytes: int


@dataclass(frozen=True)
class _Run:
    """A run in memory, by its newest names; tensors are views of the file."""

    step: int
    is_first_layout: bool
    config: object  # run_config.RunConfig
    target: object  # target.Target
    components: dict  # module to C
    factors: dict  # "components.<module>.V" and ".U" as the format has them
    ci: dict  # "ci" of decomposition.json
    ci_tensors: dict
    file: object  # the checkpoint's path


def import_run(
    run_folder, out, target=None, tokenizer=None, step=None, force=False, ignored=()
):
    """Imports a run; returns the Summary.

    target: folder of the model that the run decomposes; without it, the run
    folder has to hold what it would. tokenizer: a file or folder. step: the
    checkpoint, by default the last. ignored: names of unknown config fields
    that the user says do not matter. Raises Refused, MissingPackage, OSError
    for what cannot be read, and output.OutputError.
    """
    check_free(out, force)
    folder = Folder(run_folder, confined=True)
    targets = folder if target is None else Folder(target, confined=False)
    run = _read_run(folder, targets, step, ignored)
    tokens = tokenizer_files(tokenizer, *dict.fromkeys((targets, folder)))
    with output_folder(out, force) as made:
        written = _write_model(made / "model", run, tokens)
        digest = checkpoint.weights_digest(
            run.target.config, checkpoint.read_tensors(made / "model")
        )
        written += _write_decomposition(made / "decomposition", run, digest)
        summary = Summary(
            step=run.step,
            model_type=run.target.family.model_type,
            weights_digest=digest,
            kind=run.ci["kind"],
            components=run.components,
            delta_share=_delta_share(run),
            has_tokenizer=bool(tokens),
            tokenizer_name=run.config.tokenizer_name,
            written_bytes=written,
        )
    return summary


def _choose_step(folder, step):
    steps = folder.numbered(_CHECKPOINT)
    if not steps:
        raise Refused(f"{folder.path}: want a checkpoint model_<step>.pth")
    if step is None:
        step = max(steps)
    if step not in steps:
        have = ", ".join(map(str, sorted(steps)))
        raise Refused(f"{folder.path}: has no step {step}, but {have}")
    return step, steps[step]


def _read_run(folder, targets, step, ignored):
    where = folder.find(CONFIG)
    if where is None:
        raise Refused(f"{folder.path}: want {CONFIG}, as a run of spd writes it")
    stated = read_yaml(where)
    config = read_run_config(migrate(stated, where), where, ignored)
    step, path = _choose_step(folder, step)
    tensors = Tensors(rename_legacy(read_checkpoint(path), path), path)
    target = read_target(config.model_class, where, tensors, targets)
    components = expand_patterns(config.patterns, target.modules(), where)
    factors = {}
    for module, count in components.items():
        factors.update(_factors(module, count, target, tensors))
    seen = [
        CiModule(
            path=module,
            d_in=target.weight(module).shape[1],
            components=count,
            is_embedding=module == target.family.embedding,
        )
        for module, count in components.items()
    ]
    ci, ci_tensors = convert_ci_function(config.ci, seen, tensors, where)
    tensors.finish()
    return _Run(
        step=step,
        is_first_layout=is_first_layout(stated),
        config=config,
        target=target,
        components=components,
        factors=factors,
        ci=ci,
        ci_tensors=ci_tensors,
        file=path,
    )


def _factors(module, count, target, tensors):
    """V [C, d_in] and U [C, d_out] of a module; the run has V the other way."""
    torch = import_torch()
    d_out, d_in = target.weight(module).shape
    old, new = f"_components.{dashed(module)}", f"components.{module}"
    factors = {
        f"{new}.V": tensors.take(f"{old}.V", d_in, count).T,
        f"{new}.U": tensors.take(f"{old}.U", count, d_out),
    }
    if f"{old}.bias" in tensors:
        bias = target.bias(module)
        copy = tensors.take(f"{old}.bias", d_out)
        if bias is None or not torch.equal(copy, bias):
            raise Refused(
                f"{tensors.file}: tensor {old}.bias is no copy of the bias of {module}"
            )
    return factors


def _write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _write_model(folder, run, tokens):
    folder.mkdir()
    _write_json(folder / "config.json", run.target.config)
    for name, content in tokens.items():
        (folder / name).write_bytes(content)
    return write_safetensors(folder / "model.safetensors", run.target.tensors, run.file)


def _write_decomposition(folder, run, digest):
    folder.mkdir()
    config = run.config
    modules = []
    for module, count in run.components.items():
        d_out, d_in = run.target.weight(module).shape
        modules.append(
            {"name": module, "d_in": d_in, "d_out": d_out, "components": count}
        )
    _write_json(
        folder / "decomposition.json",
        {
            "format": "spar-decomposition",
            "version": 1,
            "target": {"weights_digest": digest},
            "modules": modules,
            "ci": run.ci,
            "sigmoid": config.sigmoid,
            "sampling": config.sampling,
            "delta": config.delta,
            "training": {
                "library": "spd",
                "layout": "main" if run.is_first_layout else "dev",
                "checkpoint": run.file.name,
                "step": run.step,
                "config": config.migrated,
            },
        },
    )
    tensors = {**run.factors, **run.ci_tensors}
    return write_safetensors(folder / "decomposition.safetensors", tensors, run.file)


def _delta_share(run):
    """How much of the modules' weights the subcomponents leave to Delta."""
    rest = whole = 0.0
    for module in run.components:
        weight = run.target.weight(module).float()
        v = run.factors[f"components.{module}.V"].float()
        u = run.factors[f"components.{module}.U"].float()
        rest += (weight - u.T @ v).double().square().sum().item()
        whole += weight.double().square().sum().item()
    return rest / whole if whole > 0 else 0.0
