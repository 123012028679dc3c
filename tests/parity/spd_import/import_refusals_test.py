"""Folders and checkpoints that are no run are refused by name, nothing in them
runs, and nothing is left behind."""

import json
import os
import pickle
import shutil

import pytest
import torch

from spar.import_spd import Refused
from spar.import_spd.folder import Folder, read_yaml

GLOBAL = "transformer"


def _set(**fields):
    return lambda config: config.update(fields)


def _drop(name):
    return lambda state: state.pop(name)


def _change(name, change):
    def edit(state):
        state[name] = change(state[name].clone())

    return edit


def _first_nan(tensor):
    tensor.view(-1)[0] = float("nan")
    return tensor


V = "_components.h-0-mlp-c_fc.V"
W = "ci_fn._ci_fns.h-0-mlp-c_fc.layers.0.W"
TENSORS = {
    "a missing factor": (_drop(V), f"tensor {V} is missing"),
    "a missing map": (_drop(W), f"tensor {W} is missing"),
    "a missing weight": (
        _drop("target_model.h.0.mlp.c_fc.weight"),
        "tensor h.0.mlp.c_fc.weight is missing|matches no module",
    ),
    "a turned factor": (
        _change(V, lambda t: t.T.contiguous()),
        rf"tensor {V} is \[9, 16\], want \[16, 9\]",
    ),
    "a turned map": (
        _change(W, lambda t: t.transpose(1, 2).contiguous()),
        rf"tensor {W} is \[9, 4, 1\], want \[9, 1, 4\]",
    ),
    "an unknown tensor": (
        lambda state: state.update({"ci_fn._extra": torch.ones(1)}),
        "unknown tensors: ci_fn._extra",
    ),
    "components of another module": (
        lambda state: state.update({"_components.h-9-mlp-c_fc.V": torch.ones(1)}),
        "unknown tensors: _components.h-9-mlp-c_fc.V",
    ),
    "a tensor of the target that the config rules out": (
        lambda state: state.update({"target_model.h.0.mlp.c_fc.bias": torch.ones(20)}),
        "unknown tensors: h.0.mlp.c_fc.bias",
    ),
    "doubles": (_change(V, torch.Tensor.double), f"tensor {V} holds torch.float64"),
    "whole numbers": (_change(V, torch.Tensor.long), f"tensor {V} holds torch.int64"),
    "no number": (_change(V, _first_nan), "components.h.0.mlp.c_fc.V holds numbers"),
    "an untied unembedding": (
        _change("target_model.lm_head.weight", lambda t: t + 1),
        "lm_head.weight differs from wte.weight",
    ),
    "a foreign bias": (
        lambda state: state.update({"_components.h-0-mlp-c_fc.bias": torch.ones(20)}),
        "_components.h-0-mlp-c_fc.bias is no copy of the bias of h.0.mlp.c_fc",
    ),
}


@pytest.mark.parametrize("name", list(TENSORS))
def test_a_checkpoint_is_refused(spoil, name):
    edit, message = TENSORS[name]
    run = spoil()
    run.edit_state(edit)
    assert "model_1000.pth" in run.refused(message)


def test_a_changed_bias_is_refused(spoil):
    run = spoil("vector_mlp_hub_gpt2_main")
    run.edit_state(
        _change("_components.transformer-h-0-attn-c_attn.bias", lambda t: t + 1)
    )
    run.refused("is no copy of the bias of transformer.h.0.attn.c_attn")


def test_a_function_of_the_other_mode_is_refused(spoil):
    run = spoil(GLOBAL)
    ci = {"mode": "layerwise", "fn_type": "mlp", "hidden_dims": [2]}
    run.edit_yaml(_set(ci_config=ci))
    run.refused(r"has no ci_fn\._ci_fns\.\* tensors")


class _Evil:
    def __reduce__(self):
        return (os.mkdir, (os.environ["SPAR_TEST_EVIL"],))


def test_code_in_a_checkpoint_does_not_run(spoil, tmp_path, monkeypatch):
    run = spoil()
    monkeypatch.setenv("SPAR_TEST_EVIL", str(tmp_path / "evil"))
    torch.save({"a": _Evil()}, run.checkpoint)
    run.refused(r"is no checkpoint of tensors: it (calls posix\.mkdir|holds more)")
    run.checkpoint.write_bytes(pickle.dumps(_Evil(), protocol=2))
    run.refused("is no checkpoint of tensors: it holds more than tensors")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        ([torch.ones(1)], "want a mapping of names to tensors"),
        ({}, "want a mapping of names to tensors"),
        ({"step": 3}, "entry 'step': want a tensor with a name"),
        ({3: torch.ones(1)}, "entry 3: want a tensor with a name"),
        ({"a": torch.ones(2, 2).to_sparse()}, "tensor a: want plain numbers"),
    ],
)
def test_a_file_of_something_else_is_refused(spoil, content, message):
    run = spoil()
    torch.save(content, run.checkpoint)
    run.refused(message)


def test_a_cut_checkpoint_is_refused(spoil):
    run = spoil()
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:2000])
    run.refused("is no checkpoint of tensors")


def test_a_checkpoint_of_old_torch_is_read(spoil):
    run = spoil()
    state = torch.load(run.checkpoint, weights_only=True)
    torch.save(state, run.checkpoint, _use_new_zipfile_serialization=False)
    assert run.convert().step == 1000


# The folders


def test_steps(spoil):
    run = spoil()
    run.refused("has no step 7, but 1000", step=7)
    shutil.copy(run.checkpoint, run.run / "model_01000.pth")
    run.refused("step 1000 is also in model_01000.pth")
    for path in run.run.glob("model_*.pth"):
        path.unlink()
    run.refused("want a checkpoint model_<step>.pth")


def test_the_greatest_step_is_the_greatest_number(spoil):
    run = spoil()
    shutil.copy(run.checkpoint, run.run / "model_999.pth")
    assert run.convert().step == 1000
    assert run.convert(step=999, force=True).step == 999


def test_no_config(spoil):
    run = spoil()
    (run.run / "final_config.yaml").unlink()
    run.refused("want final_config.yaml, as a run of spd writes it")


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: [", "no YAML"),
        ("- 1", "want a mapping at the top"),
        ("a: 1\na: 2", "field 'a' occurs twice"),
        ("a: !!python/object:os.system {}", "no YAML"),
        ("a: &x [&y [1]]\nb: {? [1] : 2}", "no YAML"),
        ("a: &a [*a]", "want at most 100000 values, 48 deep"),
        ("a: " + "[" * 100 + "]" * 100, "want at most 100000 values, 48 deep"),
    ],
)
def test_a_malformed_config_is_refused(spoil, text, message):
    run = spoil()
    (run.run / "final_config.yaml").write_text(text)
    run.refused(message)


def test_a_bomb_of_aliases_is_refused(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(Refused, match="want at most 100000 values"):
        read_yaml(tmp_path / "bomb.yaml")


def test_yaml_becomes_json(tmp_path):
    path = tmp_path / "config.yaml"
    lines = ("a: 2026-02-27", "b: .inf", "c: 1e-6", "1: {x: null}", r'd: "\ud800é"')
    path.write_text("\n".join(lines), encoding="utf-8")
    held = read_yaml(path)
    assert held == {
        "a": "2026-02-27",
        "b": "inf",
        "c": "1e-6",
        "1": {"x": None},
        "d": "?é",
    }
    json.dumps(held, allow_nan=False)


def test_a_link_out_of_the_run_folder_is_refused(spoil, tmp_path):
    run = spoil()
    shutil.move(run.checkpoint, tmp_path / "elsewhere.pth")
    run.checkpoint.symlink_to(tmp_path / "elsewhere.pth")
    run.refused("is a link that leads out of the run folder")
    outside = Folder(run.run, confined=True)
    (run.run / "checkpoints").symlink_to(tmp_path)
    with pytest.raises(Refused, match="checkpoints: is a link that leads out"):
        outside.subfolder("checkpoints")


def test_nothing_but_the_run_folder_is_read(spoil):
    """The config names a path; without --target it is not followed."""
    run = spoil()
    run.edit_yaml(_set(pretrained_model_path=str(run.target), pretrained_model_name=None))
    run.refused("name the target's folder with --target", target=None)


def test_the_target_may_lie_in_the_run_folder(spoil):
    run = spoil()
    shutil.copy(run.target / "model_config.yaml", run.run)
    assert run.convert(target=None).model_type == "llama_simple_mlp"


@pytest.mark.parametrize("force", [False, True])
def test_what_is_there_is_not_overwritten(spoil, force):
    run = spoil()
    run.out.mkdir()
    (run.out / "letters.txt").write_text("dear")
    run.refused("exists and holds letters.txt", force=force)
    assert (run.out / "letters.txt").read_text() == "dear"
    shutil.rmtree(run.out)
    run.out.write_text("a file")
    run.refused("exists and is no folder", force=force)


def test_an_earlier_import_is_replaced_with_force_alone(spoil):
    run = spoil()
    run.out.mkdir()  # empty: as good as none
    run.convert()
    before = (run.out / "decomposition/decomposition.json").read_bytes()
    run.refused("exists; --force replaces it")
    run.edit_yaml(_set(sigmoid_type="normal"))
    run.convert(force=True)
    assert (run.out / "decomposition/decomposition.json").read_bytes() != before
    assert sorted(os.listdir(run.folder)) == ["out", "run", "target"]


def test_a_refusal_with_force_leaves_the_earlier_import(spoil):
    run = spoil()
    run.convert()
    run.edit_state(_change(V, _first_nan))  # found while writing
    run.refused("are not finite", force=True)
    assert (run.out / "decomposition/decomposition.safetensors").is_file()
