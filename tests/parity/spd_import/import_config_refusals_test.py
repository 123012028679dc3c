"""What a config asks for and no decomposition folder has is refused by name."""

import json
import re

import pytest

BASE = "mlp_with_embedding"
GLOBAL = "transformer"
REVERSE = "reverse_residual_attention"


def _set(**fields):
    return lambda config: config.update(fields)


def _set_ci(**fields):
    return lambda config: config["ci_config"].update(fields)


def _set_transformer(**fields):
    return lambda c: c["ci_config"]["simple_transformer_ci_cfg"].update(fields)


def _set_attention(**fields):
    return lambda c: c["ci_config"]["simple_transformer_ci_cfg"]["attn_config"].update(
        fields
    )


_ANY = [{"module_pattern": "h.0.mlp.c_fc", "C": 9}]
CONFIGS = {
    "identity modules": (
        BASE,
        _set(identity_module_info=[{"module_pattern": "h.*.attn.q_proj", "C": 4}]),
        r"identity_module_info: identity modules \(h\.\*\.attn\.q_proj\)",
    ),
    "a toy task": (
        BASE,
        _set(task_config={"task_name": "tms", "feature_probability": 0.1}),
        "task_config: task_name: tms is a toy target",
    ),
    "superposition": (
        BASE,
        _set(pretrained_model_class="spd.experiments.tms.models.TMSModel"),
        "TMSModel: is the toy model of superposition, no decoder",
    ),
    "a residual MLP": (
        BASE,
        _set(pretrained_model_class="spd.experiments.resid_mlp.models.ResidMLP"),
        "ResidMLP: is the residual MLP, no decoder",
    ),
    "induction heads": (
        BASE,
        _set(pretrained_model_class="spd.experiments.ih.model.InductionTransformer"),
        "InductionTransformer: is the induction-head toy, no decoder",
    ),
    "the in-tree Llama": (
        BASE,
        _set(pretrained_model_class="spd.pretrain.models.llama.Llama"),
        "Llama: is spd's in-tree Llama",
    ),
    "the in-tree GPT2": (
        BASE,
        _set(pretrained_model_class="spd.pretrain.models.gpt2.GPT2"),
        "GPT2: is spd's in-tree GPT2",
    ),
    "an unknown class": (
        BASE,
        _set(pretrained_model_class="transformers.BertModel"),
        "transformers.BertModel: want one of LlamaSimpleMLP",
    ),
    "no class": (BASE, _set(pretrained_model_class=None), "class: is missing"),
    "another output": (
        BASE,
        _set(pretrained_model_output_attr="idx_1"),
        "pretrained_model_output_attr: want idx_0 or logits",
    ),
    "an unknown field": (
        BASE,
        _set(frobnicate=True),
        "frobnicate: a field that the import does not know",
    ),
    "an unknown sigmoid": (BASE, _set(sigmoid_type="relu"), "sigmoid_type: want one"),
    "an unknown sampling": (BASE, _set(sampling="gumbel"), "sampling: want one of"),
    "delta of no truth": (BASE, _set(use_delta_component=1), "want true or false"),
    "no modules": (BASE, _set(module_info=[]), "module_info: is empty"),
    "a module twice": (
        BASE,
        _set(module_info=[*_ANY, {"module_pattern": "h.0.mlp.*", "C": 9}]),
        "h.0.mlp.c_fc matches two patterns",
    ),
    "a pattern without a match": (
        BASE,
        _set(module_info=[*_ANY, {"module_pattern": "g.*", "C": 9}]),
        r"module_info: g\.\* matches no module",
    ),
    "the unembedding": (
        BASE,
        _set(module_info=[*_ANY, {"module_pattern": "lm_head", "C": 9}]),
        "lm_head matches lm_head, the unembedding",
    ),
    "a half number": (
        BASE,
        _set(module_info=[{"module_pattern": "h.0.mlp.c_fc", "C": 1.5}]),
        "C: want a whole number from 1 to 2147483647, not 1.5",
    ),
    "a field in a pattern": (
        BASE,
        _set(module_info=[{"module_pattern": "h.0.mlp.c_fc", "C": 9, "rank": 2}]),
        "rank: a field that the import does not know",
    ),
    "an embedding under shared_mlp": (
        BASE,
        _set_ci(fn_type="shared_mlp"),
        "shared_mlp reads the input of wte, an embedding",
    ),
    "an unknown function": (BASE, _set_ci(fn_type="kan"), "fn_type: want one of mlp"),
    "a global one as layerwise": (
        BASE,
        _set_ci(fn_type="global_shared_mlp"),
        "fn_type: want one of mlp",
    ),
    "an unknown mode": (BASE, _set_ci(mode="blockwise"), "mode: want one of"),
    "mlp without a layer": (BASE, _set_ci(hidden_dims=[]), "mlp needs at least one"),
    "no widths": (BASE, _set_ci(hidden_dims="8"), "hidden_dims: want a list"),
    "a field of another kind": (
        BASE,
        _set_ci(d_resid_ci_fn=8),
        "d_resid_ci_fn: a field that the import does not know",
    ),
    "a transformer without its config": (
        GLOBAL,
        _set_ci(simple_transformer_ci_cfg=None),
        "simple_transformer_ci_cfg: is missing",
    ),
    "a transformer with hidden_dims": (
        GLOBAL,
        _set_ci(hidden_dims=[4]),
        "global_shared_transformer has none",
    ),
    "a transformer without a hidden layer": (
        GLOBAL,
        _set_transformer(mlp_hidden_dim=[]),
        "mlp_hidden_dim: is empty",
    ),
    "odd heads": (GLOBAL, _set_attention(n_heads=4), "4 heads of a width of 12"),
    "heads that do not divide": (GLOBAL, _set_attention(n_heads=5), "n_heads: 5 heads"),
    "another rotation": (
        GLOBAL,
        _set_attention(rope_base=10000.0),
        r"rope.inv_freq\[1\] is .* want .* for rope_base 10000",
    ),
    "a negative base": (GLOBAL, _set_attention(rope_base=-1), "rope_base: want a numb"),
    "an unknown attention": (
        GLOBAL,
        _set_attention(window=4),
        "attn_config: window: a field that the import does not know",
    ),
    "a group without a match": (
        REVERSE,
        _set_ci(block_groups=[{"name": "a", "patterns": ["g.*"]}]),
        r"block_groups: g\.\* of a matches no module",
    ),
    "a module in no group": (
        REVERSE,
        _set_ci(block_groups=[{"name": "a", "patterns": ["h.0.*"]}]),
        "block_groups: h.1.mlp.c_fc is in none of them",
    ),
    "a module in two groups": (
        REVERSE,
        _set_ci(
            block_groups=[
                {"name": "a", "patterns": ["h.0.*"]},
                {"name": "b", "patterns": ["*"]},
            ]
        ),
        "block_groups: h.0.mlp.c_fc is in there twice",
    ),
    "groups of one name": (
        REVERSE,
        _set_ci(
            block_groups=[
                {"name": "a.b", "patterns": ["h.0.*"]},
                {"name": "a-b", "patterns": ["h.1.*"]},
            ]
        ),
        "name: 'a-b' occurs twice",
    ),
    "no groups": (REVERSE, _set_ci(block_groups=[]), "block_groups: is empty"),
    "patterns of no text": (
        REVERSE,
        _set_ci(block_groups=[{"name": "a", "patterns": [3]}]),
        "patterns: want a list of texts",
    ),
}


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_config_is_refused(spoil, name):
    original, edit, message = CONFIGS[name]
    run = spoil(original)
    run.edit_yaml(edit)
    run.refused(message)


def test_the_position_embedding_is_refused(spoil):
    run = spoil("vector_mlp_hub_gpt2_main")
    run.edit_yaml(_set(target_module_patterns=["transformer.wpe"]))
    run.refused("matches transformer.wpe, the position embedding")


def test_an_unknown_field_that_the_user_names_is_let_through(spoil):
    run = spoil()
    run.edit_yaml(_set(frobnicate=True))
    run.convert(ignored=["frobnicate"])
    held = json.loads((run.out / "decomposition/decomposition.json").read_text())
    assert held["training"]["config"]["frobnicate"] is True


def test_messages_name_the_place(spoil):
    run = spoil()
    run.edit_yaml(_set_ci(fn_type="kan"))
    message = run.refused("want one of")
    assert re.match(r".*final_config\.yaml: ci_config: fn_type: want one of", message)
