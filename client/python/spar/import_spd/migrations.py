"""Rewrites what older versions of the library wrote in `final_config.yaml`.

`migrate` knows the fields of every version and returns what the newest would
have written. Fields of training are carried along for provenance only.
"""

import reprlib

from .refusal import Refused

# In this order; the later steps see the new names.
RENAMED = {
    "print_freq": "eval_freq",
    "pretrained_model_name_hf": "pretrained_model_name",
    "gate_type": "ci_fn_type",
    "gate_hidden_dims": "ci_fn_hidden_dims",
    "grad_clip_norm": "grad_clip_norm_components",
    "init_pd_checkpoint": "init_spd_checkpoint",
}
# Of training, and gone from the library.
DROPPED = frozenset(
    {
        "ci_recon_coeff",
        "ci_recon_layerwise_coeff",
        "dist_backend",
        "embedding_recon_coeff",
        "eval_metrics",
        "faithfulness_coeff",
        "figures_fns",
        "gradient_accumulation_steps",
        "image_freq",
        "image_on_first_step",
        "importance_minimality_coeff",
        "is_embed_unembed_recon",
        "lr_exponential_halflife",
        "metrics_fns",
        "n_examples_until_dead",
        "out_dir",
        "out_recon_coeff",
        "p_anneal_end_frac",
        "p_anneal_final_p",
        "p_anneal_start_frac",
        "pnorm",
        "recon_coeff",
        "recon_layerwise_coeff",
        "schatten_coeff",
        "stochastic_recon_coeff",
        "stochastic_recon_layerwise_coeff",
    }
)
_CLASS_PREFIXES = (
    ("simple_stories_train.models.", "spd.pretrain.models."),
    ("param_decomp.", "spd."),
)
_SCOPES = {
    "single_mask": "single_source",
    "batch_invariant": "repeat_across_batch",
    "per_batch": "per_batch_per_position",
    "unique_per_batch_per_token": "per_batch_per_position",
}
# What the first layout took when the fields were left out.
_FIRST_CI_TYPE = "vector_mlp"
_FIRST_CI_HIDDEN = [8]


def is_first_layout(config):
    """Whether the config is of the layout without `ci_config`."""
    return "ci_config" not in config


def migrate(config, where):
    """The config as the newest version writes it; `config` stays as it is.

    where: the file, for messages. Raises Refused where old and new fields say
    different things.
    """
    config = {name: value for name, value in config.items() if name not in DROPPED}
    for old, new in RENAMED.items():
        if old in config:
            _put(config, new, config.pop(old), f"{where}: {old} and {new}")
    _module_lists(config, where)
    _ci_config(config, where)
    _learning_rate(config)
    _model_class(config)
    _output(config, where)
    for name in ("loss_metric_configs", "eval_metric_configs"):
        if isinstance(config.get(name), list):
            config[name] = [
                _metric(entry)
                for entry in config[name]
                if not (isinstance(entry, dict) and "extra_init_kwargs" in entry)
            ]
    return config


def _put(config, name, value, names):
    if name in config and config[name] != value:
        raise Refused(f"{names}: both are there, with different values")
    config[name] = value


def _module_lists(config, where):
    """One C for all patterns, before every pattern had its own."""
    for old, new in (
        ("target_module_patterns", "module_info"),
        ("identity_module_patterns", "identity_module_info"),
    ):
        patterns = config.pop(old, None)
        if patterns is None:
            continue
        if "C" not in config:
            raise Refused(f"{where}: C: is missing, and {old} has patterns without one")
        if not isinstance(patterns, list):
            raise Refused(f"{where}: {old}: want a list, not {reprlib.repr(patterns)}")
        info = [{"module_pattern": p, "C": config["C"]} for p in patterns]
        _put(config, new, info, f"{where}: {old} and {new}")
    config.pop("C", None)


def _ci_config(config, where):
    names = ("ci_fn_type", "ci_fn_hidden_dims", "use_global_ci")
    stated = {name: config.pop(name) for name in names if name in config}
    if "ci_config" in config:
        if stated:
            raise Refused(
                f"{where}: ci_config: stands beside {', '.join(stated)}, "
                "which it replaced"
            )
        return
    kind = stated.get("ci_fn_type", _FIRST_CI_TYPE)
    if not isinstance(kind, str):
        raise Refused(f"{where}: ci_fn_type: want a text, not {reprlib.repr(kind)}")
    is_global = kind.startswith("global_") or stated.get("use_global_ci", False)
    if is_global and not kind.startswith("global_"):
        kind = "global_shared_mlp"
    config["ci_config"] = {
        "mode": "global" if is_global else "layerwise",
        "fn_type": kind,
        "hidden_dims": stated.get("ci_fn_hidden_dims", _FIRST_CI_HIDDEN),
    }


def _learning_rate(config):
    if "lr" not in config:
        return
    kind = config.pop("lr_schedule", "constant")
    config["lr_schedule"] = {
        "start_val": config.pop("lr"),
        "fn_type": kind,
        "warmup_pct": config.pop("lr_warmup_pct", 0.0),
        "final_val_frac": 0.0 if kind == "cosine" else 1.0,
    }


def _model_class(config):
    name = config.get("pretrained_model_class")
    if isinstance(name, str):
        for old, new in _CLASS_PREFIXES:
            if name.startswith(old):
                name = new + name[len(old) :]
        config["pretrained_model_class"] = name


def _output(config, where):
    """`output_extract` is the later name of `pretrained_model_output_attr`."""
    if "output_extract" not in config:
        return
    value = config.pop("output_extract")
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"idx_{value}"
    name = "pretrained_model_output_attr"
    _put(config, name, value, f"{where}: output_extract and {name}")


def _metric(entry):
    if not isinstance(entry, dict):
        return entry
    entry = dict(entry)
    kind = str(entry.get("classname"))
    if kind == "ImportanceMinimalityLoss":
        first = entry.pop("pnorm_1", None)
        entry.pop("pnorm_2", None)
        if first is not None:
            entry.setdefault("pnorm", first)
        entry.setdefault("beta", 0.0)
    if kind.startswith("PersistentPGD"):
        if "scope" in entry:
            entry["scope"] = _scope(entry["scope"])
        if isinstance(entry.get("optimizer"), dict):
            entry["optimizer"] = _optimizer(entry["optimizer"])
    return entry


def _scope(scope):
    scope = dict(scope) if isinstance(scope, dict) else {"type": scope}
    kind = scope.get("type")
    if isinstance(kind, str):
        scope["type"] = _SCOPES.get(kind, kind)
    if "n_masks" in scope:
        scope["n_sources"] = scope.pop("n_masks")
    return scope


def _optimizer(optimizer):
    optimizer = dict(optimizer)
    old = {"sign": "step_size", "adam": "lr"}.get(str(optimizer.get("type")))
    if old in optimizer:
        optimizer["lr_schedule"] = {
            "start_val": optimizer.pop(old),
            "fn_type": "constant",
            "warmup_pct": 0.0,
            "final_val_frac": 1.0,
        }
    return optimizer
