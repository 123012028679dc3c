"""What the import needs of a migrated config, checked; the rest is training."""

import reprlib
from dataclasses import dataclass, field

from .fields import Fields
from .refusal import Refused

SIGMOIDS = ("leaky_hard", "hard", "upper_leaky_hard", "swish_hard", "normal")
SAMPLINGS = ("continuous", "binomial")
LAYERWISE = ("mlp", "vector_mlp", "shared_mlp")
GLOBAL = ("global_shared_mlp", "global_shared_transformer", "global_reverse_residual")
# How a decoder's logits are taken from what it returns.
_LOGITS = ("idx_0", "logits")

# Fields that say how a run was trained, measured or logged, not what it is.
_OF_TRAINING = frozenset(
    {
        "autocast_bf16",
        "batch_size",
        "ci_alive_threshold",
        "ci_fn_optimizer",
        "components_optimizer",
        "dataset_seed",
        "eval_batch_size",
        "eval_freq",
        "eval_metric_configs",
        "faithfulness_warmup_lr",
        "faithfulness_warmup_steps",
        "faithfulness_warmup_weight_decay",
        "grad_clip_norm_ci_fns",
        "grad_clip_norm_components",
        "init_spd_checkpoint",
        "loss_metric_configs",
        "lr_schedule",
        "lr_warmup_pct",
        "n_eval_steps",
        "n_mask_samples",
        "output_loss_type",
        "save_freq",
        "seed",
        "slow_eval_freq",
        "slow_eval_on_first_step",
        "steps",
        "train_log_freq",
        "wandb_project",
        "wandb_run_name",
        "wandb_run_name_prefix",
    }
)


@dataclass(frozen=True)
class Pattern:
    """Modules by an fnmatch pattern of their names, in which "*" crosses dots."""

    pattern: str
    components: int


@dataclass(frozen=True)
class Attention:
    heads: int
    max_positions: int
    rope_base: float


@dataclass(frozen=True)
class Group:
    name: str
    patterns: tuple


@dataclass(frozen=True)
class CiConfig:
    """One of LAYERWISE or GLOBAL, with the fields that the kind has."""

    kind: str
    hidden: tuple = ()  # reverse residual: of the readers
    width: int = 0  # of the stream: transformer, reverse residual
    blocks: int = 0  # transformer
    attention: Attention | None = None  # those two; reverse residual: optional
    transition_hidden: int | None = None  # reverse residual
    groups: tuple = ()  # reverse residual

    @property
    def is_global(self):
        return self.kind in GLOBAL


@dataclass(frozen=True)
class RunConfig:
    model_class: str  # fully qualified, as the library names it now
    patterns: tuple
    ci: CiConfig
    sigmoid: str
    sampling: str
    delta: bool
    tokenizer_name: str | None
    migrated: dict = field(repr=False)  # the whole config, for provenance


def read_run_config(migrated, where, ignored=()):
    """The RunConfig of a migrated config.

    ignored: names of fields the user says do not matter. Raises Refused.
    """
    fields = Fields(migrated, where)
    _refuse_what_is_no_language_model(fields)
    identities = fields.mappings("identity_module_info", [])
    if identities:
        names = ", ".join(entry.text("module_pattern") for entry in identities)
        fields.refuse(
            "identity_module_info",
            f"identity modules ({names}) have no place in a decomposition folder",
        )
    output = fields.raw("pretrained_model_output_attr", None)
    if output not in _LOGITS:
        fields.refuse(
            "pretrained_model_output_attr",
            f"want {' or '.join(_LOGITS)}, the logits of a decoder, not {reprlib.repr(output)}",
        )
    for name in ("pretrained_model_name", "pretrained_model_path"):
        fields.text(name, None)
    config = RunConfig(
        model_class=fields.text("pretrained_model_class"),
        patterns=_patterns(fields),
        ci=_ci(fields.mapping("ci_config")),
        sigmoid=fields.choice("sigmoid_type", SIGMOIDS, "leaky_hard"),
        sampling=fields.choice("sampling", SAMPLINGS, "continuous"),
        delta=fields.boolean("use_delta_component", True),
        tokenizer_name=fields.text("tokenizer_name", None),
        migrated=migrated,
    )
    fields.finish(_OF_TRAINING | set(ignored))
    return config


def _refuse_what_is_no_language_model(fields):
    task = fields.mapping("task_config", None)
    if task is None:
        return
    name = task.text("task_name", "lm")
    if name != "lm":
        task.refuse("task_name", f"{name} is a toy target, want lm: a decoder")


def _patterns(fields):
    patterns = []
    for entry in fields.mappings("module_info"):
        pattern = Pattern(entry.text("module_pattern"), entry.integer("C"))
        entry.finish()
        patterns.append(pattern)
    if not patterns:
        fields.refuse("module_info", "is empty")
    return tuple(patterns)


def _ci(fields):
    mode = fields.choice("mode", ("layerwise", "global"))
    kind = fields.choice("fn_type", LAYERWISE if mode == "layerwise" else GLOBAL)
    if kind == "global_shared_transformer":
        ci = _transformer(fields.mapping("simple_transformer_ci_cfg"))
        if fields.integers("hidden_dims", []):
            fields.refuse("hidden_dims", "global_shared_transformer has none")
    elif kind == "global_reverse_residual":
        ci = _reverse_residual(fields)
        if fields.integers("hidden_dims", []):
            fields.refuse("hidden_dims", "global_reverse_residual has none")
    else:
        ci = CiConfig(kind, tuple(fields.integers("hidden_dims")))
        if kind in ("mlp", "vector_mlp") and not ci.hidden:
            fields.refuse("hidden_dims", f"{kind} needs at least one")
    fields.finish()
    return ci


def _attention(fields, width):
    attention = Attention(
        heads=fields.integer("n_heads"),
        max_positions=fields.integer("max_len", 2048),
        rope_base=fields.real("rope_base", 10000.0),
    )
    fields.finish()
    if width % (2 * attention.heads) != 0:
        fields.refuse(
            "n_heads",
            f"{attention.heads} heads of a width of {width} have no even, whole size",
        )
    return attention


def _transformer(fields):
    width = fields.integer("d_model")
    hidden = fields.integers("mlp_hidden_dim", [4 * width])
    if not hidden:
        fields.refuse("mlp_hidden_dim", "is empty, want at least one hidden layer")
    ci = CiConfig(
        kind="global_shared_transformer",
        hidden=tuple(hidden),
        width=width,
        blocks=fields.integer("n_blocks"),
        attention=_attention(fields.mapping("attn_config"), width),
    )
    fields.finish()
    return ci


def _reverse_residual(fields):
    width = fields.integer("d_resid_ci_fn")
    attention = fields.mapping("transition_attn_config", None)
    groups = []
    for entry in fields.mappings("block_groups"):
        patterns = entry.raw("patterns")
        if not isinstance(patterns, list) or not all(
            isinstance(pattern, str) for pattern in patterns
        ):
            entry.refuse("patterns", f"want a list of texts, not {reprlib.repr(patterns)}")
        group = Group(entry.text("name"), tuple(patterns))
        entry.finish()
        if any(_dashed(group.name) == _dashed(other.name) for other in groups):
            raise Refused(f"{entry.where}: name: {group.name!r} occurs twice")
        groups.append(group)
    if not groups:
        fields.refuse("block_groups", "is empty")
    return CiConfig(
        kind="global_reverse_residual",
        hidden=tuple(fields.integers("reader_hidden_dims")),
        width=width,
        attention=None if attention is None else _attention(attention, width),
        transition_hidden=fields.integer("transition_hidden_dim", None),
        groups=tuple(groups),
    )


def _dashed(name):
    return name.replace(".", "-")
