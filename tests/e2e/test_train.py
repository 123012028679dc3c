"""`spard train`: trained, stopped, killed and resumed."""

import json
import os
import signal
import subprocess
import time

import pytest

from spard_process import PATIENCE, environment
from train_config import STEPS, config, trained

@pytest.fixture
def folder(folders, tmp_path):
    def make(name, **changes):
        path = tmp_path / name
        path.mkdir()
        (path / "train.json").write_text(json.dumps(
            {**config(), "pretrained_model_path": str(folders["demo"]), **changes}))
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
    assert trained(killed / "out") == trained(whole / "out")
    assert {plot.name for plot in (killed / "out" / "plots").iterdir()} == {
        "losses.svg", "l0.svg", "alive.svg", "faithfulness.svg"}
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
