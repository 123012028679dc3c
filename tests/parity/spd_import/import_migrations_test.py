"""Every name that older versions of spd wrote, and every config they left."""

import copy

import numpy as np
import pytest
import torch
import yaml

import runs
from cases import CASES
from numpy_decomposition import read_tensors
from spar.import_spd import Refused, import_run
from spar.import_spd.migrations import DROPPED, migrate
from spar.import_spd.state_dict import rename_legacy

# Old name, newest name.
NAMES = {
    "_gates.h-0-mlp-c_fc.layers.0.W": "ci_fn._ci_fns.h-0-mlp-c_fc.layers.0.W",
    "_ci_fns.h-0-mlp-c_fc.layers.2.b": "ci_fn._ci_fns.h-0-mlp-c_fc.layers.2.b",
    "patched_model.wte.weight": "target_model.wte.weight",
    "patched_model.h.0.mlp.c_fc.original.weight": "target_model.h.0.mlp.c_fc.weight",
    "patched_model.h.0.mlp.c_fc.original.bias": "target_model.h.0.mlp.c_fc.bias",
    "target_model.h.1.attn.q_proj.original.weight": "target_model.h.1.attn.q_proj.weight",
    "patched_model.h.0.mlp.c_fc.components.V": "_components.h-0-mlp-c_fc.V",
    "target_model.h.0.mlp.c_fc.components.U": "_components.h-0-mlp-c_fc.U",
    "h.0.mlp.c_fc.components.U": "_components.h-0-mlp-c_fc.U",
    "patched_model.h.0.mlp.c_fc.components.bias": "_components.h-0-mlp-c_fc.bias",
    "_components.h-0-mlp-c_fc.V": "_components.h-0-mlp-c_fc.V",
    "ci_fn._ci_fns.h-0-mlp-c_fc.layers.0.W": "ci_fn._ci_fns.h-0-mlp-c_fc.layers.0.W",
    "ci_fn._global_ci_fn._output_head.b": "ci_fn._global_ci_fn._output_head.b",
}


@pytest.mark.parametrize("old", list(NAMES))
def test_a_tensor_is_renamed(old):
    assert rename_legacy({old: 1}, "file") == {NAMES[old]: 1}


def test_order_stays_and_two_of_one_name_are_refused():
    assert list(rename_legacy({"patched_model.b": 1, "target_model.a": 2}, "f")) == [
        "target_model.b",
        "target_model.a",
    ]
    with pytest.raises(Refused, match="patched_model.a: another one is target_model.a"):
        rename_legacy({"target_model.a": 1, "patched_model.a": 2}, "f")


def _oldest(name, decomposed):
    """A name of the newest version, as the first one had it."""
    if name.startswith("ci_fn._ci_fns."):
        return name.replace("ci_fn._ci_fns.", "_gates.")
    if name.startswith("_components."):
        _, dashed, part = name.split(".")
        (path,) = [p for p in decomposed if p.replace(".", "-") == dashed]
        return f"patched_model.{path}.components.{part}"
    path, _, part = name.removeprefix("target_model.").rpartition(".")
    wrapped = f"{path}.original" if path in decomposed else path
    return f"patched_model.{wrapped}.{part}"


def test_the_oldest_run_gives_what_the_newest_gives(tmp_path):
    case = copy.deepcopy(CASES["vector_mlp_fused_main"])
    case.layout = "dev"
    model = runs.write(case, tmp_path)
    run, target = tmp_path / "run", tmp_path / "target"
    import_run(run, tmp_path / "newest", target=target)

    state = torch.load(run / "model_1000.pth", weights_only=True)
    old = {_oldest(name, model.counts): tensor for name, tensor in state.items()}
    assert not old.keys() & state.keys()
    torch.save(old, run / "model_1000.pth")
    config = yaml.safe_load((run / "final_config.yaml").read_text())
    info, ci = config.pop("module_info"), config.pop("ci_config")
    del config["identity_module_info"]
    config.update(
        C=6,
        target_module_patterns=[entry["module_pattern"] for entry in info],
        gate_type=ci["fn_type"],
        gate_hidden_dims=ci["hidden_dims"],
        pretrained_model_name_hf=config.pop("pretrained_model_name"),
        pretrained_model_class="simple_stories_train.models.llama_simple_mlp"
        ".LlamaSimpleMLP",
        print_freq=config.pop("eval_freq"),
        pnorm=0.9,
        out_dir="somewhere",
    )
    (run / "final_config.yaml").write_text(yaml.safe_dump(config))
    import_run(run, tmp_path / "oldest", target=target)
    for file in ("decomposition/decomposition", "model/model"):
        one = read_tensors(tmp_path / "newest" / f"{file}.safetensors")
        other = read_tensors(tmp_path / "oldest" / f"{file}.safetensors")
        assert one.keys() == other.keys()
        for name in one:
            assert np.array_equal(one[name], other[name]), name


# Old fields and what they become; the rest of the config stays.
LAYERWISE = {"mode": "layerwise", "fn_type": "mlp", "hidden_dims": [4]}
SCHEDULE = {"start_val": 1e-3, "fn_type": "constant", "warmup_pct": 0.0}
FIELDS = {
    "module lists": (
        {"C": 5, "target_module_patterns": ["a", "b"], "identity_module_patterns": ["c"]},
        {
            "module_info": [
                {"module_pattern": "a", "C": 5},
                {"module_pattern": "b", "C": 5},
            ],
            "identity_module_info": [{"module_pattern": "c", "C": 5}],
        },
    ),
    "no identities": (
        {"C": 5, "target_module_patterns": ["a"], "identity_module_patterns": None},
        {"module_info": [{"module_pattern": "a", "C": 5}]},
    ),
    "gates": (
        {"gate_type": "mlp", "gate_hidden_dims": [4]},
        {"ci_config": LAYERWISE},
    ),
    "functions": (
        {"ci_fn_type": "mlp", "ci_fn_hidden_dims": [4], "use_global_ci": False},
        {"ci_config": LAYERWISE},
    ),
    "defaults of functions": (
        {},
        {
            "ci_config": {
                "mode": "layerwise",
                "fn_type": "vector_mlp",
                "hidden_dims": [8],
            }
        },
    ),
    "global flag": (
        {"ci_fn_type": "shared_mlp", "ci_fn_hidden_dims": [4], "use_global_ci": True},
        {
            "ci_config": {
                "mode": "global",
                "fn_type": "global_shared_mlp",
                "hidden_dims": [4],
            }
        },
    ),
    "global type": (
        {"ci_fn_type": "global_shared_mlp", "ci_fn_hidden_dims": [4]},
        {
            "ci_config": {
                "mode": "global",
                "fn_type": "global_shared_mlp",
                "hidden_dims": [4],
            }
        },
    ),
    "cosine": (
        {"lr": 1e-3, "lr_schedule": "cosine", "lr_warmup_pct": 0.1},
        {
            "lr_schedule": {
                "start_val": 1e-3,
                "fn_type": "cosine",
                "warmup_pct": 0.1,
                "final_val_frac": 0.0,
            }
        },
    ),
    "constant": (
        {"lr": 1e-3},
        {"lr_schedule": {**SCHEDULE, "final_val_frac": 1.0}},
    ),
    "clipping": ({"grad_clip_norm": 0.1}, {"grad_clip_norm_components": 0.1}),
    "print_freq": ({"print_freq": 9}, {"eval_freq": 9}),
    "name": ({"pretrained_model_name_hf": "x"}, {"pretrained_model_name": "x"}),
    "checkpoint": ({"init_pd_checkpoint": "x"}, {"init_spd_checkpoint": "x"}),
    "class": (
        {"pretrained_model_class": "simple_stories_train.models.gpt2_simple.GPT2Simple"},
        {"pretrained_model_class": "spd.pretrain.models.gpt2_simple.GPT2Simple"},
    ),
    "later class": (
        {"pretrained_model_class": "param_decomp.pretrain.models.llama_simple.A"},
        {"pretrained_model_class": "spd.pretrain.models.llama_simple.A"},
    ),
    "output by number": (
        {"output_extract": 0},
        {"pretrained_model_output_attr": "idx_0"},
    ),
    "output by name": (
        {"output_extract": "logits"},
        {"pretrained_model_output_attr": "logits"},
    ),
    "importance loss": (
        {
            "loss_metric_configs": [
                {"classname": "ImportanceMinimalityLoss", "pnorm_1": 2, "pnorm_2": 1}
            ]
        },
        {
            "loss_metric_configs": [
                {"classname": "ImportanceMinimalityLoss", "pnorm": 2, "beta": 0.0}
            ]
        },
    ),
    "importance loss, newest": (
        {
            "eval_metric_configs": [
                {"classname": "ImportanceMinimalityLoss", "pnorm": 2, "beta": 0.5}
            ]
        },
        {
            "eval_metric_configs": [
                {"classname": "ImportanceMinimalityLoss", "pnorm": 2, "beta": 0.5}
            ]
        },
    ),
    "metrics of the first kind": (
        {"loss_metric_configs": [{"extra_init_kwargs": {}}, {"classname": "CI_L0"}]},
        {"loss_metric_configs": [{"classname": "CI_L0"}]},
    ),
}


@pytest.mark.parametrize("name", list(FIELDS))
def test_a_field_is_migrated(name):
    old, new = FIELDS[name]
    if "ci_config" not in new:
        old, new = {**old, "ci_config": LAYERWISE}, {**new, "ci_config": LAYERWISE}
    before = copy.deepcopy(old)
    assert migrate({**old, "seed": 1}, "file") == {**new, "seed": 1}
    assert old == before


@pytest.mark.parametrize(
    "old, new",
    [
        ({"type": "single_mask"}, {"type": "single_source"}),
        (
            {"type": "batch_invariant", "n_masks": 4},
            {"type": "repeat_across_batch", "n_sources": 4},
        ),
        ({"type": "per_batch"}, {"type": "per_batch_per_position"}),
        (
            {"type": "unique_per_batch_per_token"},
            {"type": "per_batch_per_position"},
        ),
        ({"type": "broadcast_across_batch"}, {"type": "broadcast_across_batch"}),
    ],
)
@pytest.mark.parametrize(
    "rate", [{"type": "sign", "step_size": 1e-3}, {"type": "adam", "lr": 1e-3}]
)
def test_a_persistent_adversary_is_migrated(old, new, rate):
    def config(scope, optimizer):
        entry = {"classname": "PersistentPGDReconLoss", "scope": scope}
        entry["optimizer"] = optimizer
        return {"ci_config": LAYERWISE, "loss_metric_configs": [entry]}

    schedule = {**SCHEDULE, "final_val_frac": 1.0}
    optimizer = {"type": rate["type"], "lr_schedule": schedule}
    assert migrate(config(old, rate), "file") == config(new, optimizer)


@pytest.mark.parametrize("name", sorted(DROPPED))
def test_a_field_of_training_that_is_gone_is_dropped(name):
    config = {name: 1, "ci_config": LAYERWISE}
    assert migrate(config, "file") == {"ci_config": LAYERWISE}


@pytest.mark.parametrize(
    "config, message",
    [
        ({"target_module_patterns": ["a"]}, "C: is missing"),
        ({"C": 1, "target_module_patterns": "a"}, "want a list"),
        (
            {"C": 1, "target_module_patterns": ["a"], "module_info": []},
            "target_module_patterns and module_info: both",
        ),
        ({"ci_config": LAYERWISE, "ci_fn_type": "mlp"}, "stands beside ci_fn_type"),
        ({"ci_fn_type": 3}, "ci_fn_type: want a text"),
        ({"print_freq": 1, "eval_freq": 2}, "print_freq and eval_freq: both"),
        (
            {"output_extract": 1, "pretrained_model_output_attr": "idx_0"},
            "output_extract and pretrained_model_output_attr: both",
        ),
    ],
)
def test_contradictions_are_refused(config, message):
    with pytest.raises(Refused, match=message):
        migrate(config, "file")
