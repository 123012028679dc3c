"""Random runs of spd, written as the library writes them, in both layouts.

`write` makes the folders of a case's run and of its target, and returns the
model as it stands.
"""

import copy
import fnmatch
import functools

import torch
import transformers
import yaml

from cases import CONTEXT
from reference_ci import GlobalMlp, GlobalTransformer, ReverseResidual
from reference_decoders import SimpleDecoder, randomise
from reference_spd import SpdModel

transformers.logging.set_verbosity_error()

VOCAB = 61

_LLAMA = {
    "block_size": CONTEXT,
    "vocab_size": VOCAB,
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 16,
    "n_intermediate": 20,
    "mlp_bias": False,
    "attn_bias": False,
    "rotary_adjacent_pairs": False,
    "rotary_dim": 4,
    "rotary_base": 10000,
    "n_ctx": CONTEXT,
    "n_key_value_heads": 2,
    "use_grouped_query_attention": True,
    "flash_attention": True,
    "rms_norm_eps": 1e-6,
}
_GPT2 = {
    "block_size": CONTEXT,
    "vocab_size": VOCAB,
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 16,
    "flash_attention": True,
}


def _hub_target(case):
    sizes = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, **case.config}
    if case.classname == "GPT2LMHeadModel":
        config = transformers.GPT2Config(
            n_positions=CONTEXT, n_embd=16, n_layer=2, n_head=4, n_inner=20, **sizes
        )
    else:
        common = {
            "max_position_embeddings": CONTEXT,
            "hidden_size": 16,
            "intermediate_size": 20,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            **sizes,
        }
        if case.classname == "LlamaForCausalLM":
            config = transformers.LlamaConfig(
                num_key_value_heads=2, pad_token_id=None, **common
            )
        else:
            rope = {"rope_type": "default", "rope_theta": 5000.0}
            rope["partial_rotary_factor"] = 0.5
            config = transformers.GPTNeoXConfig(rope_parameters=rope, **common)
    config._attn_implementation = "eager"
    return getattr(transformers, case.classname)(config), config


def _target_config(case):
    usual = _GPT2 if case.classname == "GPT2Simple" else _LLAMA
    return {**usual, **case.config}


def make_target(case):
    """(torch module, config to be written or a transformers config)."""
    if case.classname.endswith(("LMHeadModel", "ForCausalLM")):
        target, config = _hub_target(case)
    else:
        config = _target_config(case)
        target = SimpleDecoder(case.classname, config)
    randomise(target, seed=3)
    return target.eval(), config


def chosen_modules(target, modules):
    """Path to C: patterns in order, within one the order of named_modules."""
    chosen = {}
    for pattern, count in modules:
        for path, module in target.named_modules():
            if hasattr(module, "weight") and fnmatch.fnmatch(path, pattern):
                chosen[path] = count
    return chosen


def _make_global(ci):
    if ci["mode"] == "layerwise":
        return None
    if ci["fn_type"] == "global_shared_mlp":
        return functools.partial(GlobalMlp, hidden=ci["hidden_dims"])
    if ci["fn_type"] == "global_shared_transformer":
        cfg = ci["simple_transformer_ci_cfg"]
        return functools.partial(
            GlobalTransformer,
            width=cfg["d_model"],
            blocks=cfg["n_blocks"],
            heads=cfg["attn_config"]["n_heads"],
            base=cfg["attn_config"]["rope_base"],
            hidden=cfg["mlp_hidden_dim"] or [4 * cfg["d_model"]],
        )

    def reverse(widths, counts):
        groups = [
            (
                group["name"],
                [
                    path
                    for pattern in group["patterns"]
                    for path in counts
                    if fnmatch.fnmatch(path, pattern)
                ],
            )
            for group in ci["block_groups"]
        ]
        attention = ci["transition_attn_config"]
        return ReverseResidual(
            widths,
            counts,
            width=ci["d_resid_ci_fn"],
            hidden=ci["reader_hidden_dims"],
            groups=groups,
            attention=attention and (attention["n_heads"], attention["rope_base"]),
            transition=ci["transition_hidden_dim"],
        )

    return reverse


def make_model(case):
    """(SpdModel, the target's config). The factors are near the target's, so
    that its logits survive a mask; CI logits spread over all of the sigmoids."""
    target, config = make_target(case)
    layerwise = None
    if case.ci["mode"] == "layerwise":
        layerwise = (case.ci["fn_type"], case.ci["hidden_dims"])
    counts = chosen_modules(target, case.modules)
    model = SpdModel(target, counts, layerwise, _make_global(case.ci))
    generator = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if name.startswith("target_model."):
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter.shape[-1] if name.endswith("proj.weight") else (
            parameter.shape[-2] if parameter.dim() > 1 else 1
        )
        parameter.data.copy_(noise * (1.2 / fan_in**0.5 if parameter.dim() > 1 else 0.4))
    return model.eval(), config


def _full_config(case):
    simple = case.classname in ("LlamaSimpleMLP", "LlamaSimple", "GPT2Simple")
    files = {"LlamaSimpleMLP": "llama_simple_mlp", "LlamaSimple": "llama_simple"}
    package = f"spd.pretrain.models.{files.get(case.classname, 'gpt2_simple')}"
    return {
        "wandb_project": "spd",
        "seed": 0,
        "autocast_bf16": True,
        "n_mask_samples": 1,
        "ci_config": copy.deepcopy(case.ci),
        "sampling": case.sampling,
        "sigmoid_type": case.sigmoid,
        "module_info": [{"module_pattern": p, "C": c} for p, c in case.modules],
        "identity_module_info": None,
        "use_delta_component": case.delta,
        "loss_metric_configs": [{"classname": "FaithfulnessLoss", "coeff": 1e7}],
        "lr_schedule": {"start_val": 5e-5, "fn_type": "cosine"},
        "steps": 400000,
        "batch_size": 64,
        "train_log_freq": 50,
        "eval_freq": 1000,
        "output_loss_type": "kl",
        "pretrained_model_class": f"{package}.{case.classname}"
        if simple
        else f"transformers.{case.classname}",
        "pretrained_model_name": "wandb:someone/spd/runs/t-00000000",
        "pretrained_model_path": None,
        "pretrained_model_output_attr": "idx_0" if simple else "logits",
        "tokenizer_name": "someone/tokenizer",
        "task_config": {"task_name": "lm", "max_seq_len": 16},
    }


def _main_config(config):
    """The newest config as the first layout had it."""
    config = dict(config)
    info = config.pop("module_info")
    ci = config.pop("ci_config")
    config.pop("identity_module_info")
    (count,) = {entry["C"] for entry in info}
    return {
        **config,
        "C": count,
        "target_module_patterns": [entry["module_pattern"] for entry in info],
        "identity_module_patterns": None,
        "ci_fn_type": ci["fn_type"],
        "ci_fn_hidden_dims": ci["hidden_dims"],
        "lr": 5e-5,
        "lr_schedule": "cosine",
        "n_examples_until_dead": 1000,
        "gradient_accumulation_steps": 1,
    }


def state_of(model, layout):
    """The state dict under the layout's names, in the model's order."""
    return {
        name.removeprefix("ci_fn.") if layout == "main" else name: tensor
        for name, tensor in model.state_dict().items()
    }


def write(case, folder, steps=(1000,)):
    """Writes folder/run and folder/target; returns the SpdModel.

    The last of steps holds the model; the others hold one of zeros.
    """
    model, target_config = make_model(case)
    run, target = folder / "run", folder / "target"
    run.mkdir(parents=True)
    target.mkdir()
    config = _full_config(case)
    if case.layout == "main":
        config = _main_config(config)
    (run / "final_config.yaml").write_text(yaml.safe_dump(config))
    state = state_of(model, case.layout)
    for step in steps:
        zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        held = state if step == steps[-1] else zeros
        torch.save(held, run / f"model_{step}.pth")
    if isinstance(target_config, dict):
        text = yaml.safe_dump({"model_type": case.classname, **target_config})
        (target / "model_config.yaml").write_text(text)
    else:
        target_config.save_pretrained(target)
    return model
