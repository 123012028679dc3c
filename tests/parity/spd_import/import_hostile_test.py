"""Configs and folders with anything in them: refused or imported, never a
traceback. Every value of a config is replaced by every odd one."""

import copy
import json

import pytest
import torch

import runs
from cases import CASES
from spar.import_spd import Refused
from spar.import_spd.folder import read_json, read_yaml
from spar.import_spd.migrations import migrate
from spar.import_spd.run_config import read_run_config
from spar.import_spd.simple_target import read_simple_config, simple_shapes

ODD = [
    None,
    True,
    0,
    -1,
    10**30,
    2.5,
    1e-300,
    float("nan"),
    float("inf"),
    "",
    "x" * 300,
    "1e999",
    "*[",
    [],
    [None],
    [[]],
    [{}],
    {},
    {"": None},
    {"type": []},
]


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, held in items:
        yield from _places(held, (*path, key))


def _replaced(value, path, odd):
    if not path:
        return copy.deepcopy(odd)
    value = copy.copy(value)
    value[path[0]] = _replaced(value[path[0]], path[1:], odd)
    return value


def _configs():
    for name in ("mlp_main", "transformer", "reverse_residual_attention"):
        config = runs._full_config(CASES[name])
        yield runs._main_config(config) if CASES[name].layout == "main" else config
    yield {
        **runs._full_config(CASES["mlp_with_embedding"]),
        "loss_metric_configs": [
            {
                "classname": "PersistentPGDReconLoss",
                "scope": {"type": "batch_invariant", "n_masks": 2},
                "optimizer": {"type": "sign", "step_size": 1e-3},
            },
            {"classname": "ImportanceMinimalityLoss", "pnorm_1": 1.0},
        ],
    }


@pytest.mark.parametrize("config", list(_configs()), ids=range(4))
def test_any_value_anywhere_in_a_config(config):
    refused = accepted = 0
    for path in _places(config):
        for odd in ODD if path else ({}, {"ci_config": []}):
            try:
                read_run_config(migrate(_replaced(config, path, odd), "f"), "f")
                accepted += 1
            except Refused as refusal:
                assert len(str(refusal)) < 1000
                refused += 1
    assert refused > 100 and accepted > 100


def test_any_value_anywhere_in_a_models_config():
    config = {"model_type": "LlamaSimpleMLP", **runs._LLAMA}
    refused = accepted = 0
    for path in _places(config):
        for odd in ODD if path else ({},):
            try:
                _, read = read_simple_config(_replaced(config, path, odd), "f", None)
                assert simple_shapes(read)
                accepted += 1
            except Refused:
                refused += 1
    assert refused > 100 and accepted > 10


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"a: " + b"9" * 5000])
def test_bytes_that_are_no_config(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Refused):
        read_yaml(path)
    with pytest.raises(Refused):
        read_json(path)


def test_a_config_that_is_too_long(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a: " + b"x" * (5 << 20))
    with pytest.raises(Refused, match="want at most 4194304 bytes"):
        read_yaml(path)


def test_numbers_that_json_has_not(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "gpt2", "layer_norm_epsilon": NaN}')
    with pytest.raises(Refused, match="NaN is no number of JSON"):
        read_json(path)


HEADERS = [
    {"wte.weight": {"dtype": "F32", "shape": [61, 16], "data_offsets": [0, 8]}},
    {"wte.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 7]}},
    {"wte.weight": {"dtype": "I8", "shape": [8], "data_offsets": [0, 8]}},
    {"wte.weight": {"dtype": "F32", "shape": "x", "data_offsets": [0, 8]}},
    {"wte.weight": {"dtype": "F32", "data_offsets": [0, 8]}},
    {"wte.weight": {"dtype": "F32", "shape": [2], "data_offsets": ["a", 8]}},
    {"wte.weight": []},
    [],
    3,
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_hostile_safetensors_file_of_the_target(spoil, header):
    run = spoil("vector_mlp_hub_gpt2_main")
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    (run.target / "model.safetensors").write_bytes(content)
    run.refused("cannot read its tensors")


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, b"\x10" + bytes(30)])
def test_a_file_that_is_no_safetensors(spoil, content):
    run = spoil("vector_mlp_hub_gpt2_main")
    (run.target / "model.safetensors").write_bytes(content)
    run.refused("cannot read its tensors")


@pytest.mark.parametrize("name", ["../out.safetensors", "gone.safetensors", 3, "/x"])
def test_an_index_that_leads_elsewhere(spoil, name):
    run = spoil("vector_mlp_hub_gpt2_main")
    index = run.target / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    run.refused("is no file in the folder")
    index.write_text(json.dumps({"weight_map": []}))
    run.refused("weight_map: want an object")


def test_a_spoiled_checkpoint_is_refused_or_imported(spoil):
    """Bytes of the archive's directory and pickle, one after the other."""
    run = spoil()
    content = run.checkpoint.read_bytes()
    generator = torch.Generator().manual_seed(5)
    refused = 0
    for _ in range(40):
        spoiled = bytearray(content)
        for _ in range(8):
            place = int(torch.randint(len(content), (1,), generator=generator))
            # Half in the pickle at the front, half anywhere.
            place = place % 4000 if place % 2 else place
            spoiled[place] ^= 1 << (place % 8)
        run.checkpoint.write_bytes(spoiled)
        try:
            run.convert(force=True)
        except Refused:
            refused += 1
            assert not list(run.folder.glob(".*"))
    assert refused > 0


def test_every_tensor_is_needed(spoil):
    run = spoil("reverse_residual_attention")
    state = torch.load(run.checkpoint, weights_only=True)
    for name in state:
        if name.endswith((".bias", "inv_freq", "lm_head.weight")):
            continue
        torch.save({n: t for n, t in state.items() if n != name}, run.checkpoint)
        run.refused("is missing|matches no module")
