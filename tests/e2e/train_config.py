"""A small training, and what it leaves behind."""

STEPS = 60


def config(**changes):
    """A recipe that keeps everything a training can keep: moments of three
    optimisers, persistent sources with moments of their own. It names no model."""
    return {
        "out_dir": "out",
        "task_config": {"task_name": "lm", "max_seq_len": 16, "data": "demo"},
        "module_info": [{"module_pattern": "h.0.attn.?_proj", "C": 8},
                        {"module_pattern": "h.1.mlp.*", "C": 16}],
        "ci_config": {"mode": "global", "fn_type": "global_shared_transformer",
                      "simple_transformer_ci_cfg": {
                          "d_model": 16, "n_blocks": 1, "mlp_hidden_dim": [32],
                          "attn_config": {"n_heads": 2, "max_len": 64}}},
        "loss_metric_configs": [
            {"classname": "FaithfulnessLoss", "coeff": 1e3},
            {"classname": "ImportanceMinimalityLoss", "coeff": 1e-3, "pnorm": 2, "beta": 0.5,
             "p_anneal_start_frac": 0, "p_anneal_final_p": 0.4},
            {"classname": "StochasticReconSubsetLoss", "coeff": 0.5},
            {"classname": "PersistentPGDReconSubsetLoss", "coeff": 0.5, "n_warmup_steps": 1,
             "optimizer": {"type": "adam", "lr_schedule": {"start_val": 0.01}},
             "scope": {"type": "per_batch_per_position"}}],
        "steps": STEPS, "batch_size": 4, "seed": 3,
        "lr_schedule": {"start_val": 1e-3, "fn_type": "cosine", "final_val_frac": 0.1},
        "grad_clip_norm_components": 0.1,
        "faithfulness_warmup_steps": 3,
        "train_log_freq": 3, "save_freq": 4,
        **changes,
    }


def trained(out):
    """The bytes of the result and of all that a checkpoint holds."""
    return {name: (out / name).read_bytes() for name in (
        "decomposition/decomposition.safetensors", "decomposition/decomposition.json",
        f"checkpoints/{STEPS}/state.safetensors", f"checkpoints/{STEPS}/checkpoint.json")}
