"""What a folder's config means, as a certificate states it.

For the families of transformers the config is read through transformers, whose
defaults and spellings are thereby the authority; docs/certificate.md lists the
fields.
"""

import math

from transformers import AutoConfig

from . import checkpoint, exact_simple

_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}


def _rotary(rope, head_dim):
    rotary = {
        "dim": int(head_dim * rope.get("partial_rotary_factor", 1.0)),
        "theta": rope["rope_theta"],
        "adjacent_pairs": False,
    }
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return rotary
    rotary.update(scaling=kind, factor=rope["factor"])
    if kind == "llama3":
        rotary.update(
            low_frequency_factor=rope["low_freq_factor"],
            high_frequency_factor=rope["high_freq_factor"],
            original_context=rope["original_max_position_embeddings"],
        )
    return rotary


def _windows(config):
    window = getattr(config, "sliding_window", None) or 0
    if config.model_type == "qwen2":
        kinds = config.layer_types
        return [window if kind == "sliding_attention" else 0 for kind in kinds]
    return [window] * config.num_hidden_layers


def _of_transformers(folder):
    config = AutoConfig.from_pretrained(folder)
    family = config.model_type
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    layers = range(config.num_hidden_layers)
    gpt2, neox = family == "gpt2", family == "gpt_neox"
    scales = [1 / math.sqrt(head_dim)] * len(layers)
    if gpt2 and not config.scale_attn_weights:
        scales = [1.0] * len(layers)
    if gpt2 and config.scale_attn_by_inverse_layer_idx:
        scales = [scale / (layer + 1) for layer, scale in enumerate(scales)]
    stated = {
        "family": family,
        "num_layers": len(layers),
        "width": config.hidden_size,
        "num_heads": heads,
        "num_kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": head_dim,
        "mlp_width": (config.n_inner or 4 * config.hidden_size)
        if gpt2
        else config.intermediate_size,
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "norm": "layer_norm" if gpt2 or neox else "rms_norm",
        "norm_epsilon": config.layer_norm_epsilon
        if gpt2
        else config.layer_norm_eps
        if neox
        else config.rms_norm_eps,
        "activation": _ACTIVATIONS[
            config.activation_function if gpt2 else config.hidden_act
        ],
        "gated_mlp": not gpt2 and not neox,
        "parallel_residual": neox and config.use_parallel_residual,
        "tied_embeddings": config.tie_word_embeddings,
        "attention_scales": scales,
        "sliding_windows": _windows(config),
    }
    if not gpt2:
        stated["rotary"] = _rotary(config.rope_parameters, head_dim)
    return stated


def _of_simple(config):
    gpt2 = config["model_type"] == "gpt2_simple"
    grouped = not gpt2 and config.get("use_grouped_query_attention", True)
    heads, width = config["n_head"], config["n_embd"]
    head_dim = width // heads
    stated = {
        "family": config["model_type"],
        "num_layers": config["n_layer"],
        "width": width,
        "num_heads": heads,
        "num_kv_heads": config["n_key_value_heads"] if grouped else heads,
        "head_dim": head_dim,
        "mlp_width": 4 * width if gpt2 else config["n_intermediate"],
        "vocab_size": config["vocab_size"],
        "context_length": config["block_size"]
        if gpt2
        else min(config["block_size"], config.get("n_ctx", 1024)),
        "norm": "layer_norm" if gpt2 else "rms_norm",
        "norm_epsilon": 1e-5 if gpt2 else config.get("rms_norm_eps", 1e-6),
        "activation": "silu" if config["model_type"] == "llama_simple" else "gelu_tanh",
        "gated_mlp": config["model_type"] == "llama_simple",
        "parallel_residual": False,
        "tied_embeddings": config.get("tie_word_embeddings", True),
        "attention_scales": [1 / math.sqrt(head_dim)] * config["n_layer"],
        "sliding_windows": [0] * config["n_layer"],
    }
    if not gpt2:
        stated["rotary"] = {
            "dim": head_dim,
            "theta": config.get("rotary_base", 10000),
            "adjacent_pairs": config.get("rotary_adjacent_pairs", False),
        }
    return stated


def arithmetic_of(folder):
    """The fields that change the arithmetic, by the names a certificate uses."""
    config = checkpoint.read_config(folder)
    if config["model_type"] in exact_simple.FAMILIES:
        return _of_simple(config)
    return _of_transformers(folder)


def same(stated, own):
    """Equal, real numbers up to their last digits."""
    if isinstance(stated, dict) and isinstance(own, dict):
        keys = stated.keys() | own.keys()
        return all(same(stated.get(key), own.get(key)) for key in keys)
    if isinstance(stated, list) and isinstance(own, list):
        return len(stated) == len(own) and all(map(same, stated, own))
    if isinstance(stated, bool) or isinstance(own, bool):
        return stated is own
    if isinstance(stated, (int, float)) and isinstance(own, (int, float)):
        return math.isclose(stated, own, rel_tol=1e-12)
    return stated == own
