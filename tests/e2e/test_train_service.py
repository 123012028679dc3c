"""DecompositionService.Train on a real spard, by every client."""

import json
import os
import signal
import subprocess
import time

import pytest

import spar
from spard_process import PATIENCE, Spard, environment, start_spar
from spard_process import spar as spar_program
from train_config import STEPS, config, trained


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder that clients may train in, with data in it and links out of it."""
    made = tmp_path_factory.mktemp("training")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("oslo is the capital of norway .\n" * 99)
    (made / "data").mkdir()
    (made / "data" / "text.txt").write_text("oslo is the capital of norway .\n" * 99)
    (made / "link").symlink_to(outside)
    (made / "secret.txt").symlink_to(outside / "secret.txt")
    (made / "trap").mkdir()
    (made / "trap" / "plots").symlink_to(outside)
    os.mkfifo(made / "pipe")
    return made


@pytest.fixture(scope="module")
def trainer(folders, cache, root):
    with Spard(f"--model=demo={folders['demo']}", f"--training-dir={root}",
               cache=cache) as spard:
        yield spard
        assert spard.is_alive()
        assert spard.stop() == 0


@pytest.fixture
def client(trainer):
    with spar.Client(trainer.address) as made:
        yield made


@pytest.fixture(scope="module")
def whole(folders, cache, root):
    """The same training by `spard train`, undisturbed."""
    path = root / "whole.json"
    path.write_text(json.dumps(
        config(out_dir="whole", pretrained_model_path=str(folders["demo"]))))
    run = subprocess.run(
        [os.environ["SPARD"], "train", "--config", str(path), "--threads", "1",
         "--cache-dir", str(cache)],
        capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment())
    assert run.returncode == 0, run.stderr
    return root / "whole", run.stderr.splitlines()


def train_when_free(make):
    """What `make` returns, once the place of an earlier training is free."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return make()
        except spar.Error as error:
            if error.reason != "TOO_MANY_CALLS" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def run_to_the_end(client, *arguments, **keywords):
    """All messages of a training, and its summary."""
    def run():
        training = client.train(*arguments, **keywords)
        return list(training), training
    return train_when_free(run)


def refusal(client, configuration):
    with pytest.raises(spar.Error) as raised:
        run_to_the_end(client, configuration)
    return raised.value


def test_a_training_ends_as_that_of_spard_train(client, root, whole, folders, cache):
    prompt = "oslo is the capital of norway . the capital of japan is"
    before = client.predict(prompt)
    messages, training = run_to_the_end(client, config(out_dir="runs/a"))
    assert trained(root / "runs" / "a") == trained(whole[0])
    assert client.predict(prompt) == before
    assert training.start.model == "models/demo"
    assert training.start.out_dir == "runs/a"
    logged = [message for message in messages if getattr(message, "is_logged", False)]
    lines = [json.loads(line) for line in (root / "runs/a/metrics.jsonl").open()]
    assert [(message.step_count, message.total_loss) for message in logged] == [
        (line["step"], line["total"]) for line in lines]
    assert {module.name for module in logged[-1].modules} == {
        name[3:] for name in lines[-1] if name.startswith("l0/")}
    saved = [message.path for message in messages if not hasattr(message, "is_logged")]
    assert saved == [f"runs/a/checkpoints/{step}" for step in range(4, STEPS + 1, 4)]
    summary = training.summary
    assert summary.decomposition_path == "runs/a/decomposition"
    with Spard(f"--model=demo={folders['demo']}",
               f"--decomposition=demo/trained={root / summary.decomposition_path}",
               cache=cache) as spard, spar.Client(spard.address) as other:
        assert other.decomposition("trained").digest == summary.decomposition_digest


def test_a_cancelled_training_resumes_to_the_same_bits(client, root, whole):
    with client.train(config(out_dir="cancelled")) as training:
        next(message for message in training if not hasattr(message, "is_logged"))
    out = root / "cancelled"
    messages, training = run_to_the_end(client, config(out_dir="cancelled"), resume=True)
    assert trained(out) == trained(whole[0])
    assert messages[0].phase == 2 and messages[0].step_count > 4  # not from the beginning
    refused = refusal(client, config(out_dir="cancelled"))
    assert refused.reason == "CHECKPOINT_EXISTS"
    assert refused.metadata["folder"].startswith("cancelled/checkpoints/")
    assert f" {refused.metadata['folder']}:" in refused.message


def test_one_training_at_a_time(client, trainer):
    with client.train(config(out_dir="first", steps=100_000)) as training:
        next(training)
        with pytest.raises(spar.Error) as raised:
            list(client.train(config(out_dir="second")))
        assert (raised.value.code, raised.value.reason) == (
            "RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        next(message for message in training if getattr(message, "phase", 0) == 2)
        metrics = trainer.metrics()
        assert 'spar_training_steps{model="demo",phase="training"} 100000' in metrics
        assert 'spar_training_loss{model="demo",loss="FaithfulnessLoss"}' in metrics
        assert 'spar_training_l0{model="demo",module="h.1.mlp.c_fc"}' in metrics
    deadline = time.monotonic() + PATIENCE
    while 'spar_training_steps{' in trainer.metrics():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_process_keeps_its_folder(client, root, folders, cache):
    path = root / "busy.json"
    path.write_text(json.dumps(config(out_dir="busy", steps=100_000, train_log_freq=1,
                                      pretrained_model_path=str(folders["demo"]))))
    with subprocess.Popen([os.environ["SPARD"], "train", "--config", str(path), "--threads", "1",
                           "--cache-dir", str(cache)],
                          stderr=subprocess.PIPE, text=True, env=environment()) as process:
        process.stderr.readline()
        try:
            error = refusal(client, config(out_dir="busy"))
        finally:
            process.kill()
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "OUT_DIR_IN_USE")


@pytest.mark.parametrize("changes, reason, field", [
    ({"steps": 0}, "BAD_TRAIN_CONFIG", "steps"),
    ({"lr_shedule": {}}, "BAD_TRAIN_CONFIG", "lr_shedule"),
    ({"pretrained_model_path": "/"}, "BAD_TRAIN_CONFIG", "pretrained_model_path"),
    ({"task_config": {"task_name": "lm", "max_seq_len": 4096, "data": "demo"}},
     "BAD_TRAIN_CONFIG", "task_config.max_seq_len"),
    ({"out_dir": "/tmp/out"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "../out"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "a/../../out"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "."}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "a\0/b"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "link/out"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"out_dir": "trap"}, "PATH_OUTSIDE_FOLDER", "out_dir"),
    ({"data": "/etc/passwd"}, "PATH_OUTSIDE_FOLDER", "task_config.path"),
    ({"data": "../outside/secret.txt"}, "PATH_OUTSIDE_FOLDER", "task_config.path"),
    ({"data": "link/secret.txt"}, "PATH_OUTSIDE_FOLDER", "task_config.path"),
    ({"data": "secret.txt"}, "PATH_OUTSIDE_FOLDER", "task_config.path"),
    ({"data": "data"}, "BAD_DATA", "task_config.path"),
    ({"data": "pipe"}, "BAD_DATA", "task_config.path"),
])
def test_what_the_configuration_may_not_say(client, changes, reason, field):
    changes = dict(changes)
    if "data" in changes:
        changes["task_config"] = {"task_name": "lm", "max_seq_len": 16, "data": "text",
                                  "path": changes.pop("data")}
    error = refusal(client, config(**{"out_dir": "bad", **changes}))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", reason)
    assert error.field == f"config_json.{field}"


def test_other_refusals(client, demo_server):
    for text in ("", "[]", "{", '{"steps": 1, "steps": 2}', "\ud7ff" * 9):
        assert refusal(client, text).code == "INVALID_ARGUMENT"
    error = refusal(client, config(out_dir="large", batch_size=1 << 20))
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "TRAINING_TOO_LARGE")
    with spar.Client(demo_server.address) as other:
        error = refusal(other, config())
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "TRAINING_DISABLED")


def test_text_below_the_folder_is_trained_on(client, root):
    task = {"task_name": "lm", "max_seq_len": 16, "data": "text", "path": "data/text.txt"}
    _, training = run_to_the_end(client, config(out_dir="text", steps=2, task_config=task))
    assert (root / training.summary.decomposition_path / "decomposition.json").is_file()


def test_the_command_line_trains(trainer, whole, tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(config(out_dir="command")))
    arguments = ["--server", trainer.address, "train", "--config"]
    run = spar_program(*arguments, str(path))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("command/decomposition\n  digest ")
    said = [line for line in run.stderr.splitlines() if not line.startswith("checkpoint ")]
    assert [line.split("  ")[:3] for line in said] == [line.split("  ")[:3] for line in whole[1]]
    run = spar_program(*arguments, str(path))
    assert run.returncode == 4 and "CHECKPOINT_EXISTS" in run.stderr
    run = spar_program("--output", "json", *arguments, "-",
                       stdin=json.dumps(config(out_dir="json", steps=2)))
    kinds = [next(iter(json.loads(line))) for line in run.stdout.splitlines()]
    assert kinds[0] == "start" and kinds[-1] == "summary" and "progress" in kinds
    assert spar_program(*arguments, str(tmp_path / "none")).returncode == 2


def test_an_interrupted_command_leaves_a_checkpoint(client, trainer, root, tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(config(out_dir="interrupted", steps=100_000)))
    process = start_spar("--server", trainer.address, "train", "--config", str(path))
    with process:
        while not process.stderr.readline().startswith("step "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    run_to_the_end(client, config(out_dir="after", steps=1))  # the place is free again
    assert list((root / "interrupted" / "checkpoints").iterdir())


def test_the_servers_end_leaves_a_checkpoint(folders, cache, tmp_path):
    with Spard(f"--model=demo={folders['demo']}", f"--training-dir={tmp_path}",
               "--drain-seconds=0", cache=cache) as spard, spar.Client(spard.address) as client:
        training = client.train(config(steps=100_000, save_freq=100_000))
        next(message for message in training if getattr(message, "phase", 0) == 2)
        assert spard.stop() == 0
        with pytest.raises(spar.Error):
            list(training)
    assert len(list((tmp_path / "out" / "checkpoints").iterdir())) == 1
