"""`spard train`: trained, stopped, killed and resumed."""

import json
import os
import signal
import subprocess
import time

import pytest

from spard_process import PATIENCE, environment

STEPS = 60


def config(folders):
    """A recipe that keeps everything a training can keep: moments of three
    optimisers, persistent sources with moments of their own."""
    return {
        "pretrained_model_path": str(folders["demo"]),
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
    }


@pytest.fixture
def folder(folders, tmp_path):
    def make(name, **changes):
        path = tmp_path / name
        path.mkdir()
        (path / "train.json").write_text(json.dumps({**config(folders), **changes}))
        return path
    return make


def command(path, cache, *more):
    return [os.environ["SPARD"], "train", "--config", str(path / "train.json"), "--threads", "1",
            "--cache-dir", str(cache), *more]


def train(path, cache, *more):
    return subprocess.run(command(path, cache, *more), capture_output=True, text=True,
                          check=False, timeout=PATIENCE, env=environment())


def kill_behind_a_checkpoint(path, cache, number):
    """Starts a training and sends it a signal once it has a checkpoint."""
    process = subprocess.Popen(command(path, cache), stderr=subprocess.DEVNULL, env=environment())
    deadline = time.monotonic() + PATIENCE
    checkpoints = path / "out" / "checkpoints"
    while not any(entry.suffix == "" for entry in checkpoints.glob("*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait(timeout=PATIENCE)


def trained(path):
    """The bytes of the result and of all that a checkpoint holds."""
    out = path / "out"
    return {name: (out / name).read_bytes() for name in (
        "decomposition/decomposition.safetensors", "decomposition/decomposition.json",
        f"checkpoints/{STEPS}/state.safetensors", f"checkpoints/{STEPS}/checkpoint.json")}


def test_a_killed_training_resumes_to_the_same_bits(folder, cache):
    whole, killed = folder("whole"), folder("killed")
    run = train(whole, cache)
    assert run.returncode == 0, run.stderr
    code = kill_behind_a_checkpoint(killed, cache, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (killed / "out" / "decomposition").exists()
    assert train(killed, cache).returncode == 2  # a checkpoint, and no --resume
    run = train(killed, cache, "--resume")
    assert run.returncode == 0, run.stderr
    assert trained(killed) == trained(whole)
    lines = [[json.loads(line) for line in (path / "out" / "metrics.jsonl").open()]
             for path in (whole, killed)]
    losses = [[(line["step"], line["total"], line["l0"]) for line in some
               if line["phase"] == "training"] for some in lines]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == [1, *range(3, STEPS + 1, 3)]


def test_a_signal_saves_a_checkpoint_and_stops(folder, cache):
    path = folder("stopped", steps=4000)
    assert kill_behind_a_checkpoint(path, cache, signal.SIGTERM) == 3
    steps = sorted(int(entry.name) for entry in (path / "out" / "checkpoints").iterdir())
    assert 4 <= steps[-1] < 4000


def test_the_result_is_served(folder, folders, cache):
    from spard_process import Spard

    path = folder("served", steps=2)
    assert train(path, cache).returncode == 0
    with Spard(f"--model=demo={folders['demo']}",
               f"--decomposition=demo/trained={path / 'out' / 'decomposition'}",
               cache=cache) as spard:
        assert spard.is_alive()
        assert spard.stop() == 0


def test_a_checkpoint_of_another_configuration_is_refused(folder, cache):
    path = folder("other")
    assert train(path, cache).returncode == 0
    text = json.loads((path / "train.json").read_text())
    (path / "train.json").write_text(json.dumps({**text, "seed": 4}))
    run = train(path, cache, "--resume")
    assert run.returncode == 2
    assert "another configuration" in run.stderr


def test_a_bad_field_is_named(folder, cache):
    run = train(folder("bad", lr_shedule={}), cache)
    assert run.returncode == 2
    assert "lr_shedule" in run.stderr
