"""Small random models of every family and layout, as snapshot folders.

Weights are drawn so that every part of the arithmetic shows: embeddings are
small (so a norm's epsilon matters), gains differ from 1, biases from 0.
"""

import json
import pathlib

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

VOCAB = 97
CONTEXT = 96


def _randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(model.get_input_embeddings().weight)}
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in embeddings or "wpe" in name:
            noise = 0.05 * noise
        elif parameter.dim() == 2:
            inputs = parameter.shape[0 if "c_" in name else 1]
            noise = 1.3 * noise / inputs**0.5
        elif name.endswith("weight"):
            noise = 1 + 0.3 * noise
        else:
            noise = 0.3 * noise
        parameter.data.copy_(noise)


def _save(folder, config, dtype=torch.float32, **how):
    model = AutoModelForCausalLM.from_config(config)
    _randomise(model, seed=len(folder.name) * 1009 + sum(map(ord, folder.name)))
    model.to(dtype).save_pretrained(folder, **how)


def edit_config(folder, **fields):
    """Sets fields of config.json; None removes one."""
    path = pathlib.Path(folder, "config.json")
    config = json.loads(path.read_text())
    config.update(fields)
    config = {name: value for name, value in config.items() if value is not None}
    path.write_text(json.dumps(config, indent=2))


def _to_old_spelling(folder):
    """config.json as folders on the Hub spell it, from what transformers 5 writes."""
    config = json.loads((folder / "config.json").read_text())
    old = {"torch_dtype": config["dtype"], "dtype": None, "layer_types": None}
    rope = config.get("rope_parameters")
    if rope is not None:
        old["rope_parameters"] = None
        neox = config["model_type"] == "gpt_neox"
        old["rotary_emb_base" if neox else "rope_theta"] = rope.pop("rope_theta")
        factor = rope.pop("partial_rotary_factor", None)
        if factor is not None:
            old["rotary_pct" if neox else "partial_rotary_factor"] = factor
        if rope["rope_type"] != "default":
            rope["type"] = rope.pop("rope_type")
            old["rope_scaling"] = rope
    edit_config(folder, **old)


def _gpt2(**fields):
    return transformers.GPT2Config(
        **{
            "vocab_size": VOCAB,
            "n_positions": CONTEXT,
            "n_embd": 32,
            "n_layer": 3,
            "n_head": 4,
            **fields,
        }
    )


def _neox(rotary_pct=0.25, **fields):
    return transformers.GPTNeoXConfig(
        vocab_size=VOCAB,
        max_position_embeddings=CONTEXT,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 5000.0,
            "partial_rotary_factor": rotary_pct,
        },
        **fields,
    )


def _llama(kind=transformers.LlamaConfig, rope=None, **fields):
    return kind(
        **{
            "vocab_size": VOCAB,
            "max_position_embeddings": CONTEXT,
            "hidden_size": 32,
            "intermediate_size": 44,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                **(rope or {}),
            },
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": None,
            **fields,
        }
    )


_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}


def _gpt2_as_on_the_hub(folder):
    """No prefix, mask buffers beside the weights, old spelling."""
    _save(folder, _gpt2())
    path = folder / "model.safetensors"
    tensors = {
        name.removeprefix("transformer."): tensor
        for name, tensor in load_file(path).items()
    }
    for i in range(3):
        mask = torch.ones(CONTEXT, CONTEXT).tril()[None, None]
        tensors[f"h.{i}.attn.bias"] = mask.contiguous()
        tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, path, metadata={"format": "pt"})
    _to_old_spelling(folder)


def _neox_as_on_the_hub(folder):
    _save(folder, _neox(rotary_pct=0.5, hidden_act="gelu_new"))
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for i in range(3):
        attention = f"gpt_neox.layers.{i}.attention"
        mask = torch.ones(CONTEXT, CONTEXT).tril()[None, None]
        tensors[f"{attention}.bias"] = mask.contiguous()
        tensors[f"{attention}.masked_bias"] = torch.tensor(-1e9)
        tensors[f"{attention}.rotary_emb.inv_freq"] = torch.rand(2)
    save_file(tensors, path, metadata={"format": "pt"})
    _to_old_spelling(folder)


def _old_llama3(folder):
    _save(folder, _llama(rope=_LLAMA3))
    _to_old_spelling(folder)


def _qwen2(folder, **fields):
    _save(folder, _llama(transformers.Qwen2Config, **fields))


# Families that transformers does not know.


def _simple(folder, kind, **fields):
    config = {
        "model_type": kind,
        "block_size": CONTEXT,
        "vocab_size": VOCAB,
        "n_layer": 3,
        "n_head": 4,
        "n_embd": 32,
        **fields,
    }
    random = np.random.default_rng(sum(map(ord, folder.name)))
    weights = {}

    def add(name, *shape, scale=None):
        scale = scale or 1.3 / shape[-1] ** 0.5
        weights[name] = (scale * random.standard_normal(shape)).astype(np.float32)

    def add_norm(name, bias):
        gain = 1 + 0.3 * random.standard_normal(32)
        weights[f"{name}.weight"] = gain.astype(np.float32)
        if bias:
            add(f"{name}.bias", 32, scale=0.3)

    def add_linear(name, rows, columns, bias):
        add(f"{name}.weight", rows, columns)
        if bias:
            add(f"{name}.bias", rows, scale=0.3)

    gpt2 = kind == "gpt2_simple"
    attention_bias = gpt2 or config.get("attn_bias", False)
    mlp_bias = gpt2 or config.get("mlp_bias", False)
    neurons = 128 if gpt2 else config["n_intermediate"]
    add("wte.weight", VOCAB, 32, scale=0.05)
    if gpt2:
        add("wpe.weight", CONTEXT, 32, scale=0.05)
    for i in range(3):
        for norm in ("ln_1", "ln_2") if gpt2 else ("rms_1", "rms_2"):
            add_norm(f"h.{i}.{norm}", gpt2)
        attention = f"h.{i}.attn"
        if gpt2 or config["use_grouped_query_attention"]:
            kv = 32 if gpt2 else 8 * config["n_key_value_heads"]
            for name, rows in (("q", 32), ("k", kv), ("v", kv)):
                add_linear(f"{attention}.{name}_proj", rows, 32, attention_bias)
        else:
            add_linear(f"{attention}.c_attn", 96, 32, attention_bias)
        add_linear(f"{attention}.o_proj", 32, 32, attention_bias)
        reads = ("gate_proj", "up_proj") if kind == "llama_simple" else ("c_fc",)
        for name in reads:
            add_linear(f"h.{i}.mlp.{name}", neurons, 32, mlp_bias)
        add_linear(f"h.{i}.mlp.down_proj", 32, neurons, mlp_bias)
    add_norm("ln_f", gpt2)
    weights["lm_head.weight"] = weights["wte.weight"]
    folder.mkdir()
    save_numpy(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def _simple_llama(folder, kind="llama_simple_mlp", **fields):
    config = {
        "n_intermediate": 44,
        "mlp_bias": False,
        "attn_bias": False,
        "rotary_adjacent_pairs": False,
        "rotary_dim": 8,
        "rotary_base": 10000,
        "n_ctx": CONTEXT,
        "n_key_value_heads": 2,
        "use_grouped_query_attention": True,
        "flash_attention": True,
        "rms_norm_eps": 1e-6,
        **fields,
    }
    _simple(folder, kind, **config)


ZOO = {
    "gpt2": lambda f: _save(f, _gpt2()),
    "gpt2_hub": _gpt2_as_on_the_hub,
    "gpt2_by_layer": lambda f: _save(
        f,
        _gpt2(
            scale_attn_by_inverse_layer_idx=True,
            n_inner=40,
            activation_function="gelu",
            layer_norm_epsilon=1e-4,
        ),
    ),
    "gpt2_unscaled": lambda f: _save(f, _gpt2(scale_attn_weights=False)),
    "gpt2_untied": lambda f: _save(f, _gpt2(tie_word_embeddings=False)),
    "gpt2_fp16": lambda f: _save(f, _gpt2(), torch.float16),
    "neox": lambda f: _save(f, _neox()),
    "neox_serial": lambda f: _save(f, _neox(1.0, use_parallel_residual=False)),
    "neox_hub": _neox_as_on_the_hub,
    "llama": lambda f: _save(f, _llama()),
    "llama_tied": lambda f: _save(
        f, _llama(tie_word_embeddings=True, num_key_value_heads=4)
    ),
    "llama_linear": lambda f: _save(
        f, _llama(rope={"rope_type": "linear", "factor": 2.5})
    ),
    "llama3": lambda f: _save(f, _llama(rope=_LLAMA3)),
    "llama3_old": _old_llama3,
    "llama_biases": lambda f: _save(
        f, _llama(attention_bias=True, mlp_bias=True, num_key_value_heads=1)
    ),
    "llama_wide_heads": lambda f: _save(f, _llama(head_dim=12, rms_norm_eps=1e-5)),
    "llama_bf16": lambda f: _save(f, _llama(), torch.bfloat16),
    "llama_sharded": lambda f: _save(f, _llama(), max_shard_size="30KB"),
    "mistral": lambda f: _save(
        f, _llama(transformers.MistralConfig, sliding_window=5)
    ),
    "mistral_no_window": lambda f: _save(
        f, _llama(transformers.MistralConfig, sliding_window=None)
    ),
    "qwen2": _qwen2,
    "qwen2_window": lambda f: _qwen2(
        f, use_sliding_window=True, sliding_window=4, max_window_layers=1
    ),
    "simple_mlp": _simple_llama,
    "simple_mlp_fused": lambda f: _simple_llama(
        f,
        use_grouped_query_attention=False,
        rotary_adjacent_pairs=True,
        attn_bias=True,
        mlp_bias=True,
    ),
    "simple_llama": lambda f: _simple_llama(f, "llama_simple", n_key_value_heads=4),
    "simple_gpt2": lambda f: _simple(f, "gpt2_simple"),
}


def make(name, root):
    folder = pathlib.Path(root, name)
    ZOO[name](folder)
    return folder
