"""Small random llama_simple_mlp folders: models that are quick to make."""

import json

import numpy as np
from safetensors.numpy import save_file


def word(index):
    return f"w{index}"


def write_random_model(folder, *, layers=2, width=32, heads=4, neurons=64, vocabulary=50,
                       context=24, seed=1, references=True, sharpness=3.0):
    """Writes weights, config, tokenizer and (if asked) reference prompts.

    `sharpness` scales the embeddings, which are the unembedding too: the larger,
    the further apart the logits.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)

    def matrix(rows, columns, scale=1.0):
        values = generator.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return values.astype(np.float32)

    embeddings = matrix(vocabulary, width, sharpness)
    tensors = {"wte.weight": embeddings, "lm_head.weight": embeddings.copy(),
               "ln_f.weight": np.ones(width, np.float32)}
    for layer in range(layers):
        stem = f"h.{layer}"
        for norm in ("rms_1", "rms_2"):
            tensors[f"{stem}.{norm}.weight"] = np.ones(width, np.float32)
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{stem}.attn.{part}.weight"] = matrix(width, width)
        tensors[f"{stem}.mlp.c_fc.weight"] = matrix(neurons, width)
        tensors[f"{stem}.mlp.down_proj.weight"] = matrix(width, neurons)
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "llama_simple_mlp", "block_size": context, "vocab_size": vocabulary,
        "n_layer": layers, "n_head": heads, "n_embd": width, "n_intermediate": neurons,
        "mlp_bias": False, "attn_bias": False, "rotary_adjacent_pairs": False,
        "rotary_dim": width // heads, "rotary_base": 10000, "n_ctx": context,
        "n_key_value_heads": heads, "use_grouped_query_attention": True,
        "rms_norm_eps": 1e-6,
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_word_tokenizer(folder, vocabulary)
    if references:
        prompts = generator.integers(1, vocabulary, (32, context // 2))
        lines = [" ".join(word(token) for token in prompt) for prompt in prompts]
        (folder / "reference_prompts.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_word_tokenizer(folder, vocabulary):
    """Token i is the word "w{i}"; w0 stands for every unknown word."""
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "unk_token": word(0),
                  "vocab": {word(i): i for i in range(vocabulary)}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": word(0)}))
