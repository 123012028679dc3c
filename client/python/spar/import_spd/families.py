"""The decoders that a run may decompose: where their modules are.

Names and order are those of the libraries' own module trees, since a pattern
lists its matches in that order.
"""

import fnmatch
from dataclasses import dataclass

from .refusal import Refused

_UNEMBEDDING = "the unembedding"
_POSITIONS = "the position embedding"


@dataclass(frozen=True)
class Family:
    model_type: str  # of config.json
    embedding: str
    layer: str  # prefix of a layer's modules, with its number as {}
    sites: tuple  # a layer's linear modules that may be decomposed, in order
    unembedding: str
    unembedding_alias: str | None = None  # what newer transformers call it
    positions: str | None = None  # module of learned positions
    transposed: bool = False  # weights are stored [d_in, d_out]

    def modules(self, num_layers):
        """(path, what it is) of all modules with weights that a pattern can
        name, in the order of the tree. What it is: "site", "embedding", or the
        reason why it cannot be imported."""
        yield self.embedding, "embedding"
        if self.positions is not None:
            yield self.positions, _POSITIONS
        for i in range(num_layers):
            for site in self.sites:
                yield f"{self.layer.format(i)}.{site}", "site"
        for path in (self.unembedding, self.unembedding_alias):
            if path is not None:
                yield path, _UNEMBEDDING


_ROTARY = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_GATED = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_SIMPLE = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.c_attn", "attn.o_proj")


def _llama_like(model_type):
    return Family(
        model_type=model_type,
        embedding="model.embed_tokens",
        layer="model.layers.{}",
        sites=_ROTARY + _GATED,
        unembedding="lm_head",
    )


def _simple(model_type, mlp, positions=None):
    return Family(
        model_type=model_type,
        embedding="wte",
        layer="h.{}",
        sites=_SIMPLE + mlp,
        unembedding="lm_head",
        positions=positions,
    )


FAMILIES = {
    family.model_type: family
    for family in (
        _simple("llama_simple_mlp", ("mlp.c_fc", "mlp.down_proj")),
        _simple("llama_simple", _GATED),
        _simple("gpt2_simple", ("mlp.c_fc", "mlp.down_proj"), positions="wpe"),
        Family(
            model_type="gpt2",
            embedding="transformer.wte",
            positions="transformer.wpe",
            layer="transformer.h.{}",
            sites=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
            unembedding="lm_head",
            transposed=True,
        ),
        Family(
            model_type="gpt_neox",
            embedding="gpt_neox.embed_in",
            layer="gpt_neox.layers.{}",
            sites=(
                "attention.query_key_value",
                "attention.dense",
                "mlp.dense_h_to_4h",
                "mlp.dense_4h_to_h",
            ),
            unembedding="embed_out",
            unembedding_alias="lm_head",
        ),
        _llama_like("llama"),
        _llama_like("mistral"),
        _llama_like("qwen2"),
    )
}

# The classes of the library itself, by their last name.
SIMPLE_CLASSES = {
    "LlamaSimpleMLP": "llama_simple_mlp",
    "LlamaSimple": "llama_simple",
    "GPT2Simple": "gpt2_simple",
}
TRANSFORMERS_CLASSES = {
    "GPT2LMHeadModel": "gpt2",
    "GPTNeoXForCausalLM": "gpt_neox",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
}
_TOYS = {
    "TMSModel": "the toy model of superposition",
    "ResidMLP": "the residual MLP",
    "ResidualMLP": "the residual MLP",
    "InductionTransformer": "the induction-head toy",
}
_UNSUPPORTED = {
    "Llama": "spd's in-tree Llama, which Spar has no family for",
    "GPT2": "spd's in-tree GPT2, which Spar has no family for",
}


def family_of_class(name, where):
    """The Family of a fully qualified class; None for one of transformers' auto
    classes, which leave it to the model's own config."""
    last = name.rpartition(".")[2]
    of_transformers = name.startswith("transformers.")
    known = TRANSFORMERS_CLASSES if of_transformers else SIMPLE_CLASSES
    if last in known:
        return FAMILIES[known[last]]
    if of_transformers and last == "AutoModelForCausalLM":
        return None
    why = f"want one of {', '.join([*SIMPLE_CLASSES, *TRANSFORMERS_CLASSES])}"
    if not of_transformers and last in _TOYS:
        why = f"is {_TOYS[last]}, no decoder; {why}"
    elif not of_transformers and last in _UNSUPPORTED:
        why = f"is {_UNSUPPORTED[last]}; {why}"
    raise Refused(f"{where}: pretrained_model_class: {name}: {why}")


def expand_patterns(patterns, modules, where):
    """Path to C of the modules that the patterns choose: patterns in their
    order, within one the tree's. modules: (path, what it is), as
    Family.modules has them."""
    chosen = {}
    for pattern in patterns:
        matches = [
            (path, what)
            for path, what in modules
            if fnmatch.fnmatchcase(path, pattern.pattern)
        ]
        if not matches:
            raise Refused(f"{where}: module_info: {pattern.pattern} matches no module")
        for path, what in matches:
            if what not in ("site", "embedding"):
                raise Refused(
                    f"{where}: module_info: {pattern.pattern} matches {path}, {what}, "
                    "which a decomposition folder has no place for"
                )
            if path in chosen:
                raise Refused(
                    f"{where}: module_info: {path} matches two patterns, "
                    f"{pattern.pattern} is one"
                )
            chosen[path] = pattern.components
    return chosen
