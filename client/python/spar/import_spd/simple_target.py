"""The library's own decoders: their `model_config.yaml` and their tensors.

LlamaSimpleMLP, LlamaSimple and GPT2Simple, as the families llama_simple_mlp,
llama_simple and gpt2_simple of Spar. Every shape follows from the config.
"""

from .families import FAMILIES, SIMPLE_CLASSES
from .fields import Fields

# What the library takes where a field is left out.
_SIZES = {
    "block_size": 1024,
    "vocab_size": 50257,
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
}
_MOST = {"n_layer": {"most": 1024}}  # every shape is listed, layer by layer
_LLAMA_SIZES = {"rotary_dim": 64, "n_ctx": 1024, "n_key_value_heads": 3}
_LLAMA_FLAGS = {
    "mlp_bias": False,
    "attn_bias": False,
    "rotary_adjacent_pairs": False,
    "use_grouped_query_attention": True,
}
_INTERMEDIATE = {"llama_simple_mlp": 3072, "llama_simple": 2048}


def read_simple_config(mapping, where, family):
    """(Family, config.json) of a `model_config.yaml`.

    family: the Family that the run's config names, None where it names none.
    """
    fields = Fields(mapping, where)
    named = fields.text("model_type", None)
    if named is not None:
        model_type = SIMPLE_CLASSES.get(named, named)
        if model_type not in SIMPLE_CLASSES.values():
            want = ", ".join(SIMPLE_CLASSES)
            fields.refuse("model_type", f"want one of {want}, not {named!r}")
        if family is not None and model_type != family.model_type:
            fields.refuse(
                "model_type", f"is {named}, the run decomposes {family.model_type}"
            )
        family = FAMILIES[model_type]
    elif family is None:
        fields.refuse("model_type", "is missing")
    config = {"model_type": family.model_type}
    for name, default in _SIZES.items():
        config[name] = fields.integer(name, default, **_MOST.get(name, {}))
    config["flash_attention"] = fields.boolean("flash_attention", True)
    if family.model_type != "gpt2_simple":
        _read_llama(fields, family.model_type, config)
    fields.finish()
    if config["n_embd"] % config["n_head"] != 0:
        fields.refuse("n_embd", f"{config['n_head']} heads do not divide it")
    return family, config


def _read_llama(fields, model_type, config):
    intermediate = _INTERMEDIATE[model_type]
    config["n_intermediate"] = fields.integer("n_intermediate", intermediate)
    for name, default in _LLAMA_SIZES.items():
        config[name] = fields.integer(name, default)
    for name, default in _LLAMA_FLAGS.items():
        config[name] = fields.boolean(name, default)
    config["rotary_base"] = fields.real("rotary_base", 10000.0)
    config["rms_norm_eps"] = fields.real("rms_norm_eps", 1e-6)


def simple_shapes(config):
    """Tensor name to shape, of all that such a model has; `lm_head.weight`, the
    tied copy of `wte.weight`, included."""
    gpt2 = config["model_type"] == "gpt2_simple"
    width, vocab = config["n_embd"], config["vocab_size"]
    head = width // config["n_head"]
    fused = not config.get("use_grouped_query_attention", True)
    kv = width if gpt2 or fused else config["n_key_value_heads"] * head
    hidden = 4 * width if gpt2 else config["n_intermediate"]
    attention_bias = gpt2 or config["attn_bias"]
    mlp_bias = gpt2 or config["mlp_bias"]
    shapes = {"wte.weight": (vocab, width), "lm_head.weight": (vocab, width)}
    if gpt2:
        shapes["wpe.weight"] = (config["block_size"], width)

    def norm(name):
        shapes[f"{name}.weight"] = (width,)
        if gpt2:
            shapes[f"{name}.bias"] = (width,)

    def linear(name, rows, columns, bias):
        shapes[f"{name}.weight"] = (rows, columns)
        if bias:
            shapes[f"{name}.bias"] = (rows,)

    norm("ln_f")
    for i in range(config["n_layer"]):
        attention, mlp = f"h.{i}.attn", f"h.{i}.mlp"
        norm(f"h.{i}.ln_1" if gpt2 else f"h.{i}.rms_1")
        norm(f"h.{i}.ln_2" if gpt2 else f"h.{i}.rms_2")
        if fused:
            linear(f"{attention}.c_attn", 3 * width, width, attention_bias)
        else:
            for name, rows in (("q", width), ("k", kv), ("v", kv)):
                linear(f"{attention}.{name}_proj", rows, width, attention_bias)
        linear(f"{attention}.o_proj", width, width, attention_bias)
        gated = config["model_type"] == "llama_simple"
        for name in ("gate_proj", "up_proj") if gated else ("c_fc",):
            linear(f"{mlp}.{name}", hidden, width, mlp_bias)
        linear(f"{mlp}.down_proj", width, hidden, mlp_bias)
    return shapes
