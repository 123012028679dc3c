"""The families that transformers knows, made to compute in real float64.

`model.double()` is not enough: norms, rotary tables and the softmax cast to
float32 inside. They are replaced here, and attention gets a mask of our own, so
that position ids with gaps are not taken for packed sequences.
"""

import math

import torch
import transformers
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from .exact_model import ExactModel

FAMILIES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")


def _attention(module, query, key, value, attention_mask, scaling=None, **_):
    """query: [row, head, position, head_dim]; attention_mask: may read, bool."""
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * scaling
    scores = scores.masked_fill(~attention_mask, -math.inf)
    weights = scores.softmax(dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register("exact", _attention)


def rotary_frequencies(rope, head_dim):
    """Radians per position of each pair, from a config's rope_parameters."""
    dim = int(head_dim * rope.get("partial_rotary_factor", 1.0))
    plain = rope["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return plain
    if kind == "linear":
        return plain / rope["factor"]
    if kind != "llama3":
        raise ValueError(f"rope type {kind} is not one that Spar serves")
    waves = rope["original_max_position_embeddings"] * plain / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    share = ((waves - low) / (high - low)).clamp(0, 1)  # 1: kept, 0: stretched
    return plain * share + plain / rope["factor"] * (1 - share)


def _make_norm_exact(norm):
    def forward(x):
        scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + norm.variance_epsilon)
        return norm.weight * (x * scale)

    norm.forward = forward


def _make_rotary_exact(rotary, config, head_dim):
    frequencies = rotary_frequencies(config.rope_parameters, head_dim)

    def forward(x, position_ids):
        angles = position_ids[..., None].to(torch.float64) * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    rotary.forward = forward


class TransformersModel(ExactModel):
    """A snapshot folder run by transformers."""

    def __init__(self, folder):
        transformers.logging.set_verbosity_error()
        config = AutoConfig.from_pretrained(folder)
        self.family = config.model_type
        if self.family not in FAMILIES:
            raise ValueError(f"model_type {self.family} is not one of {FAMILIES}")
        self._model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float64,
            attn_implementation="exact",
            output_loading_info=True,
        )
        if loading["missing_keys"] or loading["mismatched_keys"]:
            raise ValueError(f"weights do not fit the config: {loading}")
        self._model.eval().requires_grad_(False)
        self._config = config
        self._edit = None
        self._linear = None
        self._watching = []
        self.num_layers = config.num_hidden_layers
        self.num_heads = config.num_attention_heads
        self.vocab_size = config.vocab_size
        self.context_length = config.max_position_embeddings
        self.head_dim = (
            getattr(config, "head_dim", None) or config.hidden_size // self.num_heads
        )
        for module in self._model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                _make_norm_exact(module)
            elif type(module).__name__.endswith("RotaryEmbedding"):
                _make_rotary_exact(module, config, self.head_dim)
        self._name_and_hook_modules()

    def _name_and_hook_modules(self):
        prefix, attention, z_reader, neuron_reader = {
            "gpt2": ("transformer.h", "attn", "c_proj", "c_proj"),
            "gpt_neox": ("gpt_neox.layers", "attention", "dense", "dense_4h_to_h"),
        }.get(self.family, ("model.layers", "self_attn", "o_proj", "down_proj"))
        self.attention_modules = []
        self.mlp_modules = []
        for i in range(self.num_layers):
            self.attention_modules.append(f"{prefix}.{i}.{attention}")
            self.mlp_modules.append(f"{prefix}.{i}.mlp")
            block = self._model.get_submodule(f"{prefix}.{i}")
            z = block.get_submodule(attention).get_submodule(z_reader)
            neurons = block.mlp.get_submodule(neuron_reader)
            z.register_forward_pre_hook(self._hook("head", i))
            neurons.register_forward_pre_hook(self._hook("neuron", i))
        # Conv1D stores [in, out], Linear [out, in].
        shape = neurons.weight.shape
        self.num_neurons = shape[0] if self.family == "gpt2" else shape[1]

    def _hook(self, kind, layer):
        def before(_, inputs):
            if self._edit is None:
                return None
            return (self._edit(kind, layer, inputs[0]),)

        return before

    def watch(self, names):
        for hook in self._watching:
            hook.remove()
        self._watching = []
        modules = dict(self._model.named_modules())
        prefix = self._model.base_model_prefix
        for name in names:
            module = modules.get(name) or modules.get(f"{prefix}.{name}")
            if module is None:
                raise ValueError(f"the model has no weight {name}.weight")
            self._watching.append(module.register_forward_hook(self._after(name)))

    def _after(self, name):
        def after(_, inputs, output):
            if self._linear is None:
                return None
            return self._linear(name, inputs[0], output)

        return after

    def _masks(self, positions):
        """May read: [row, 1, query, key], by the type of a layer's attention."""
        query, key = positions[:, None, :, None], positions[:, None, None, :]
        causal = key <= query
        window = getattr(self._config, "sliding_window", None)
        if window is None:
            return causal
        near = key > query - window
        if self.family == "qwen2":
            return {"full_attention": causal, "sliding_attention": causal & near}
        return causal & near

    def run(self, tokens, positions, edit=None, every_position=False, linear=None):
        self._edit, self._linear = edit, linear
        positions = torch.as_tensor(positions)
        try:
            output = self._model(
                input_ids=torch.as_tensor(tokens),
                position_ids=positions,
                attention_mask=self._masks(positions),
                use_cache=False,
                logits_to_keep=0 if every_position else 1,
            )
        finally:
            self._edit = self._linear = None
        return output.logits if every_position else output.logits[:, -1]
