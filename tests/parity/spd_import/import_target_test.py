"""The target of a run: where it is read from, and what is written of it."""

import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import runs
from cases import CASES
from imported_model import ImportedModel
from spar.import_spd import Refused, import_run
from spar.import_spd.simple_target import read_simple_config

SIMPLE, GPT2 = "mlp_with_embedding", "vector_mlp_hub_gpt2_main"


@pytest.fixture
def case(request, tmp_path):
    """(folder with run and target, the run's SpdModel)."""
    return tmp_path, runs.write(CASES[request.param], tmp_path)


simple = pytest.mark.parametrize("case", [SIMPLE], indirect=True)
hub = pytest.mark.parametrize("case", [GPT2], indirect=True)


def _convert(folder, **options):
    options = {"target": folder / "target", **options}
    return import_run(folder / "run", folder / "out", **options)


def _refused(folder, message, **options):
    with pytest.raises(Refused, match=message):
        _convert(folder, **options)
    assert not (folder / "out").exists()


def _edit(path, **fields):
    config = yaml.safe_load(path.read_text())
    config.update(fields)
    path.write_text(yaml.safe_dump(config))


def _edit_json(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def _target_state(model):
    return {
        name.removeprefix("target_model."): tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith("target_model.")
    }


def _without_target(folder):
    path = folder / "run" / "model_1000.pth"
    state = torch.load(path, weights_only=True)
    torch.save({n: t for n, t in state.items() if not n.startswith("target_")}, path)


@simple
def test_config_json_of_a_simple_family(case):
    folder, _ = case
    _convert(folder)
    held = json.loads((folder / "out/model/config.json").read_text())
    wanted = {"model_type": "llama_simple_mlp", **CASES[SIMPLE].config}
    for name, value in wanted.items():
        assert held[name] == value
    assert held["rms_norm_eps"] == 1e-6 and held["n_key_value_heads"] == 2
    names = load_file(folder / "out/model/model.safetensors").keys()
    assert "wte.weight" in names and "lm_head.weight" not in names


def test_defaults_are_the_librarys():
    _, config = read_simple_config({"model_type": "LlamaSimple"}, "file", None)
    assert config == {
        "model_type": "llama_simple",
        "block_size": 1024,
        "vocab_size": 50257,
        "n_layer": 12,
        "n_head": 12,
        "n_embd": 768,
        "flash_attention": True,
        "n_intermediate": 2048,
        "rotary_dim": 64,
        "n_ctx": 1024,
        "n_key_value_heads": 3,
        "mlp_bias": False,
        "attn_bias": False,
        "rotary_adjacent_pairs": False,
        "use_grouped_query_attention": True,
        "rotary_base": 10000.0,
        "rms_norm_eps": 1e-6,
    }
    _, config = read_simple_config({"model_type": "LlamaSimpleMLP"}, "file", None)
    assert config["n_intermediate"] == 3072
    _, config = read_simple_config(
        {"model_type": "LlamaSimpleMLP", "rms_norm_eps": "1e-5"}, "file", None
    )
    assert config["rms_norm_eps"] == 1e-5  # YAML 1.1 has no 1e-5
    with pytest.raises(Refused, match="model_type: is missing"):
        read_simple_config({}, "file", None)


@simple
def test_the_class_of_the_run_stands_in_for_a_missing_model_type(case):
    folder, _ = case
    _edit(folder / "target/model_config.yaml", model_type=None)
    assert _convert(folder).model_type == "llama_simple_mlp"


@simple
@pytest.mark.parametrize(
    "fields, message",
    [
        ({"model_type": "GPT2Simple"}, "is GPT2Simple, the run decomposes llama_simple_m"),
        ({"model_type": "Mamba"}, "model_type: want one of LlamaSimpleMLP"),
        ({"n_key_value_heads": 4}, r"k_proj.weight is \[8, 16\], want \[16, 16\]"),
        ({"n_layer": 3}, "tensor h.2.rms_1.weight is missing"),
        ({"n_layer": 1}, "unknown tensors: h.1.rms_1.weight"),
        ({"vocab_size": 60}, r"wte.weight is \[61, 16\], want \[60, 16\]"),
        ({"n_intermediate": 21}, "c_fc.weight is"),
        ({"mlp_bias": True}, "c_fc.bias is missing"),
        ({"use_grouped_query_attention": False}, "c_attn.weight is missing"),
        ({"n_head": 3}, "n_embd: 3 heads do not divide it"),
        ({"n_head": 0}, "n_head: want a whole number from 1 to"),
        ({"rms_norm_eps": 0}, "rms_norm_eps: want a number above 0"),
        ({"rotary_adjacent_pairs": "yes"}, "want true or false"),
        ({"window": 9}, "window: a field that the import does not know"),
    ],
)
def test_a_config_that_is_not_the_targets_is_refused(case, fields, message):
    folder, _ = case
    _edit(folder / "target/model_config.yaml", **fields)
    _refused(folder, message)


@simple
def test_an_import_of_the_target_is_a_target_too(case):
    folder, _ = case
    before = _convert(folder)
    shutil.move(folder / "out/model", folder / "again")
    shutil.rmtree(folder / "out")
    assert _convert(folder, target=folder / "again") == before


@hub
def test_a_config_of_the_other_kind_is_not_read(case):
    folder, _ = case
    (folder / "target/model_config.yaml").write_text("model_type: Mamba")
    assert _convert(folder).model_type == "gpt2"


@simple
def test_constant_norms_are_refused(case):
    folder, _ = case
    (folder / "target/gpt2-ln-stds.json").write_text("{}")
    _refused(folder, "gpt2-ln-stds.json: norms with constant scales")


@simple
@pytest.mark.parametrize("place", ["", "checkpoints"])
def test_the_checkpoint_of_the_target_is_compared(case, place):
    folder, model = case
    state = _target_state(model)
    (folder / "target" / place).mkdir(exist_ok=True)
    torch.save({}, folder / "target" / place / "model_step_9.pt")
    path = folder / "target" / place / "model_step_10.pt"
    torch.save(state, path)
    _convert(folder)
    shutil.rmtree(folder / "out")
    torch.save({**state, "ln_f.weight": state["ln_f.weight"] + 1e-6}, path)
    _refused(folder, "is not the run's target: tensor ln_f.weight has other values")
    torch.save({n: t for n, t in state.items() if n != "ln_f.weight"}, path)
    _refused(folder, "is not the run's target: only the run has ln_f.weight")


@simple
def test_a_run_without_its_target(case):
    folder, model = case
    _convert(folder)
    whole = load_file(folder / "out/model/model.safetensors")
    shutil.rmtree(folder / "out")
    _without_target(folder)
    _refused(folder, "has no tensors of the target model, and neither has")
    torch.save(_target_state(model), folder / "target/model_step_10.pt")
    _convert(folder)
    again = load_file(folder / "out/model/model.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@hub
@pytest.mark.parametrize("prefixed", [True, False])
def test_weights_of_a_hugging_face_folder(case, prefixed):
    folder, model = case
    state = _target_state(model)
    del state["lm_head.weight"]
    if not prefixed:  # as on the Hub, with the masks beside the weights
        state = {n.removeprefix("transformer."): t for n, t in state.items()}
        state["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
    save_file(state, folder / "target/model.safetensors")
    _convert(folder)
    shutil.rmtree(folder / "out")
    _without_target(folder)
    _convert(folder)
    names = load_file(folder / "out/model/model.safetensors").keys()
    assert "transformer.h.0.attn.c_attn.weight" in names
    assert "lm_head.weight" not in names and "transformer.h.0.attn.bias" not in names
    (name, *_) = (n for n in state if n.endswith("h.1.mlp.c_fc.weight"))
    save_file({**state, name: state[name] + 1}, folder / "target/model.safetensors")
    shutil.rmtree(folder / "out")
    _convert(folder)  # the run has none of its own to compare it with


@hub
def test_another_hugging_face_folder_is_refused(case):
    folder, model = case
    state = _target_state(model)
    del state["lm_head.weight"]
    name = "transformer.h.1.mlp.c_fc.weight"
    save_file({**state, name: state[name] + 1}, folder / "target/model.safetensors")
    _refused(folder, f"tensor {name} has other values")
    (folder / "target/model.safetensors").write_bytes(b"\xff" * 40)
    _refused(folder, "cannot read its tensors")


@hub
def test_an_untied_unembedding_is_kept(case):
    folder, _ = case
    path = folder / "run" / "model_1000.pth"
    state = torch.load(path, weights_only=True)
    state["target_model.lm_head.weight"] = state["target_model.lm_head.weight"] + 1
    torch.save(state, path)
    _refused(folder, "lm_head.weight differs from transformer.wte.weight")
    _edit_json(folder / "target/config.json", tie_word_embeddings=False)
    _convert(folder)
    held = load_file(folder / "out/model/model.safetensors")
    assert torch.equal(held["lm_head.weight"], state["target_model.lm_head.weight"])
    shutil.rmtree(folder / "out")
    del state["target_model.lm_head.weight"]
    torch.save(state, path)
    _refused(folder, "tensor lm_head.weight is missing")


@hub
@pytest.mark.parametrize(
    "fields, message",
    [
        ({"model_type": "llama"}, "model_type: is 'llama', the run decomposes gpt2"),
        ({"model_type": None}, "model_type: is None, the run decomposes gpt2"),
    ],
)
def test_another_model_type_is_refused(case, fields, message):
    folder, _ = case
    _edit_json(folder / "target/config.json", **fields)
    _refused(folder, message)


@hub
def test_an_auto_class_takes_the_folders_word(case):
    folder, _ = case
    _edit(
        folder / "run/final_config.yaml",
        pretrained_model_class="transformers.AutoModelForCausalLM",
    )
    assert _convert(folder).model_type == "gpt2"
    shutil.rmtree(folder / "out")
    _edit_json(folder / "target/config.json", model_type="bloom")
    _refused(folder, "model_type: want one of gpt2, .* not 'bloom'")


@hub
def test_a_malformed_config_json_is_refused(case):
    folder, _ = case
    (folder / "target/config.json").write_text("{")
    _refused(folder, "config.json: no JSON")
    (folder / "target/config.json").write_text("[]")
    _refused(folder, "config.json: want an object at the top")


@simple
def test_tokenizer_files(case):
    folder, _ = case
    assert not _convert(folder).has_tokenizer
    shutil.rmtree(folder / "out")

    (folder / "target/vocab.json").write_text("v")
    assert not _convert(folder).has_tokenizer  # half of a pair is none
    shutil.rmtree(folder / "out")

    (folder / "target/merges.txt").write_text("m")
    assert _convert(folder).has_tokenizer
    assert (folder / "out/model/merges.txt").read_text() == "m"
    shutil.rmtree(folder / "out")

    file = folder / "mine.json"
    file.write_text("t")
    _convert(folder, tokenizer=file)
    assert (folder / "out/model/tokenizer.json").read_text() == "t"
    assert not (folder / "out/model/merges.txt").exists()
    shutil.rmtree(folder / "out")

    other = folder / "other"
    other.mkdir()
    _refused(folder, "want tokenizer.json, or vocab.json and merges.txt", tokenizer=other)
    (other / "tokenizer.json").write_text("o")
    (other / "tokenizer_config.json").write_text("c")
    _convert(folder, tokenizer=other)
    assert (folder / "out/model/tokenizer_config.json").read_text() == "c"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_floats_stay_as_they_are(tmp_path, dtype):
    runs.write(CASES[SIMPLE], tmp_path)
    path = tmp_path / "run" / "model_1000.pth"
    state = torch.load(path, weights_only=True)
    torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, path)
    _convert(tmp_path)
    held = load_file(tmp_path / "out/decomposition/decomposition.safetensors")
    narrow = state["_components.h-0-mlp-c_fc.V"].to(dtype)
    assert torch.equal(held["components.h.0.mlp.c_fc.V"], narrow.T)


@simple
def test_the_model_runs_by_itself(case):
    folder, model = case
    _convert(folder)
    mine = ImportedModel(folder / "out/model").run([1, 2, 3])[0]
    truth = model.double().run(torch.tensor([[1, 2, 3]]))[0][0].numpy()
    assert abs(mine - truth).max() < 1e-9
