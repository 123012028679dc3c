"""What the tests import: a target, the modules that are decomposed, a CI
function, in one of the library's layouts. Every kind of function, every sigmoid,
both ways to store a weight, fused and separate projections."""

from dataclasses import dataclass, field

CONTEXT = 24  # positions of every target and attention


@dataclass
class Case:
    """classname: of the library, or of transformers. modules: (pattern, C).
    ci: the newest `ci_config`. layout: "main" or "dev"."""

    classname: str
    modules: list
    ci: dict
    layout: str = "dev"
    config: dict = field(default_factory=dict)  # of the target, beside the usual
    sigmoid: str = "leaky_hard"
    sampling: str = "continuous"
    delta: bool = True


def _layerwise(kind, *hidden):
    return {"mode": "layerwise", "fn_type": kind, "hidden_dims": list(hidden)}


def _transformer(**fields):
    return {
        "mode": "global",
        "fn_type": "global_shared_transformer",
        "simple_transformer_ci_cfg": {
            "d_model": 12,
            "n_blocks": 2,
            "mlp_hidden_dim": [14],
            "attn_config": {"n_heads": 3, "max_len": CONTEXT, "rope_base": 500.0},
            **fields,
        },
    }


def _reverse(groups, attention=None, transition=None, readers=(10,)):
    return {
        "mode": "global",
        "fn_type": "global_reverse_residual",
        "d_resid_ci_fn": 12,
        "reader_hidden_dims": list(readers),
        "block_groups": [{"name": n, "patterns": p} for n, p in groups],
        "transition_attn_config": attention,
        "transition_hidden_dim": transition,
    }


_ATTENTION = {"n_heads": 3, "max_len": CONTEXT, "rope_base": 10000.0}
_ALL_SIMPLE = [("h.*.attn.*", 6), ("h.*.mlp.c_fc", 9), ("h.*.mlp.down_proj", 7)]

CASES = {
    "mlp_with_embedding": Case(
        "LlamaSimpleMLP", [("wte", 5), *_ALL_SIMPLE], _layerwise("mlp", 4, 3)
    ),
    "mlp_main": Case(
        "LlamaSimpleMLP",
        [("h.*.attn.q_proj", 6), ("h.1.mlp.*_proj", 6)],
        _layerwise("mlp", 5),
        layout="main",
        delta=False,
    ),
    "vector_mlp_fused_main": Case(
        "LlamaSimpleMLP",
        [("h.*.attn.c_attn", 6), ("h.*.attn.o_proj", 6), ("h.0.mlp.*", 6)],
        _layerwise("vector_mlp", 3, 2),
        layout="main",
        sigmoid="hard",
        config={
            "use_grouped_query_attention": False,
            "rotary_adjacent_pairs": True,
            "attn_bias": True,
            "mlp_bias": True,
        },
    ),
    "shared_mlp_gated": Case(
        "LlamaSimple",
        [("h.*.mlp.gate_proj", 7), ("h.*.mlp.up_proj", 5), ("h.0.attn.?_proj", 4)],
        _layerwise("shared_mlp"),
        sigmoid="upper_leaky_hard",
    ),
    "shared_mlp_gpt2_simple": Case(
        "GPT2Simple",
        _ALL_SIMPLE,
        _layerwise("shared_mlp", 8, 6),
        sigmoid="swish_hard",
    ),
    "vector_mlp_hub_gpt2_main": Case(
        "GPT2LMHeadModel",
        [("transformer.h.*.attn.c_*", 6), ("transformer.h.1.mlp.c_*", 6)],
        _layerwise("vector_mlp", 4),
        layout="main",
        sigmoid="normal",
    ),
    "mlp_hub_llama": Case(
        "LlamaForCausalLM",
        [("model.embed_tokens", 4), ("model.layers.*.self_attn.[qkvo]_proj", 5)],
        _layerwise("mlp", 4),
    ),
    "shared_mlp_hub_neox": Case(
        "GPTNeoXForCausalLM",
        [("*.query_key_value", 6), ("*.dense*", 5)],
        _layerwise("shared_mlp", 5),
    ),
    "global_mlp_many_layers": Case(
        "LlamaSimpleMLP",
        [("h.*.mlp.c_fc", 3), ("wte", 4), ("h.*.attn.k_proj", 2)],
        {"mode": "global", "fn_type": "global_shared_mlp", "hidden_dims": [13]},
        sampling="binomial",
        config={"n_layer": 11},
    ),
    "transformer": Case(
        "LlamaSimpleMLP", _ALL_SIMPLE, _transformer(), config={"n_key_value_heads": 4}
    ),
    "transformer_hub_gpt2": Case(
        "GPT2LMHeadModel",
        [("transformer.wte", 4), ("transformer.h.*.attn.*", 6), ("*.mlp.c_*", 5)],
        _transformer(mlp_hidden_dim=None),
    ),
    "reverse_residual_attention": Case(
        "LlamaSimpleMLP",
        [("h.*.mlp.*", 5), ("h.*.attn.*", 4), ("wte", 3)],
        _reverse(
            [
                ("h.1.mlp", ["h.1.mlp.down_proj", "h.1.mlp.c_fc"]),
                ("h.1.attn", ["h.1.attn.[vo]*", "h.1.attn.*k*", "h.1.attn.q*"]),
                ("rest", ["h.0.*", "wte"]),
            ],
            attention=_ATTENTION,
            transition=9,
        ),
    ),
    "reverse_residual_plain": Case(
        "GPT2Simple",
        _ALL_SIMPLE,
        _reverse([("second", ["h.1.*"]), ("first", ["h.0.*"])], readers=()),
    ),
}
