"""The `spar` program against the real server."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest

from spard_process import PATIENCE, environment, spar


QUICK = ("--mode", "sufficient", "--improvement-rounds", "0")


@pytest.fixture
def ask(server):
    """Runs spar against the shared server and its demo model."""
    def run(*arguments, **keywords):
        return spar("--server", server.address, "--model", "demo", *arguments, **keywords)
    return run


def on_a_terminal(*arguments, columns=100, **changes):
    """Exit code and all output of spar on a pseudo terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [os.environ["SPAR"], *arguments], stdin=slave, stdout=slave, stderr=slave,
        env=environment(TERM="xterm", **changes))
    os.close(slave)
    output = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        output += part
    os.close(master)
    return process.wait(timeout=PATIENCE), output.decode()


def test_lists_models(server):
    run = spar("models", SPAR_SERVER=server.address)
    assert run.returncode == 0, run.stderr
    assert "models/demo\n  llama_simple_mlp, " in run.stdout
    lines = spar("--server", server.address, "--output", "json", "models").stdout
    names = [json.loads(line)["name"] for line in lines.splitlines()]
    assert names == ["models/bare", "models/demo", "models/tiny"]


def test_tokenizes_and_predicts(ask, queries):
    prompt, answer = queries[0]
    words = prompt.split()
    lines = ask("tokenize", prompt).stdout.splitlines()
    assert [line.split('"')[1] for line in lines] == words
    run = ask("predict", prompt, "--top-k", "2")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 2
    assert f'"{answer}"' in run.stdout.splitlines()[0]
    ids = ",".join(str(token["id"]) for token in json.loads(
        ask("tokenize", prompt, "--output=json").stdout)["tokens"])
    assert ask("predict", "--tokens", ids, "--top-k", "2").stdout == run.stdout


def test_reads_the_prompt_from_standard_input(ask, queries):
    prompt = queries[0][0]
    assert ask("tokenize", "-", stdin=prompt + "\n").stdout == ask("tokenize", prompt).stdout


def test_explains_in_plain_text(ask, queries):
    prompt, answer = queries[0]
    run = ask("crystallize", prompt)
    assert run.returncode == 0, run.stderr
    assert "\x1b" not in run.stdout
    assert run.stderr == ""
    assert f"→ {answer}\n" in run.stdout
    assert "verdict    CRYSTALLIZED" in run.stdout
    for label in ("prompt", "units", "positions", "margin", "precision", "contrast",
                  "remark", "effort"):
        assert f"\n{label} " in run.stdout
    assert "layer  heads" in run.stdout
    assert f"[{prompt.split()[-1]}]" in run.stdout


def test_explains_in_json_one_message_a_line(ask, queries):
    run = ask("crystallize", queries[0][0], "--output", "json", *QUICK)
    assert run.returncode == 0, run.stderr
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    assert [int(message["event"]["sequence"]) for message in messages[:-1]] == list(
        range(1, len(messages)))
    assert messages[-1]["explanation"]["verdict"] == "VERDICT_CRYSTALLIZED"


def test_shows_progress_when_asked(ask, queries):
    run = ask("crystallize", queries[0][0], "--progress", *QUICK)
    assert "|S| " in run.stderr and "|T| " in run.stderr
    assert "\r" not in run.stderr


def test_lights_up_a_terminal(server, queries):
    arguments = ("--server", server.address, "--model", "demo", "crystallize", queries[0][0],
                 *QUICK)
    code, output = on_a_terminal(*arguments)
    assert code == 0
    assert "\x1b[1;36m" in output  # kept positions
    assert "\r" in output and "\x1b[K" in output  # the progress line
    code, output = on_a_terminal(*arguments, NO_COLOR="1")
    assert code == 0
    assert "\x1b[1;36m" not in output
    assert "\x1b" not in spar(*arguments).stdout
    assert "\x1b[1;36m" in spar("--color", "always", *arguments).stdout


def test_never_writes_beyond_the_last_column(server, queries):
    longest = max((prompt for prompt, _ in queries), key=len)
    code, output = on_a_terminal(
        "--server", server.address, "--model", "demo", "crystallize", longest, *QUICK,
        columns=60, NO_COLOR="1")
    assert code in (0, 3)
    prompt_lines = output.split("prompt ")[1].split("verdict ")[0].splitlines()
    assert all(len(line) <= 60 for line in prompt_lines)


def test_writes_a_certificate_that_verifies(ask, queries, tmp_path):
    path = tmp_path / "certificate.json"
    run = ask("crystallize", queries[0][0], "--certificate", str(path), *QUICK)
    assert run.returncode == 0, run.stderr
    run = ask("verify", str(path))
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("VALID")
    assert ask("verify", "-", stdin=path.read_text() + "\n").returncode == 0
    assert json.loads(ask("verify", str(path), "--output=json").stdout)["verdict"].startswith(
        "CERTIFICATE_VERDICT_VALID")


def test_a_certificate_that_was_changed_is_invalid(ask, queries, tmp_path):
    path = tmp_path / "certificate.json"
    ask("crystallize", queries[0][0], "--certificate", str(path), *QUICK)
    certificate = json.loads(path.read_text())
    certificate["units"] = certificate["units"][1:]
    path.write_text(json.dumps(certificate))
    run = ask("verify", str(path))
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stdout.startswith("INVALID")


def test_other_verdicts_exit_with_3(ask, queries):
    run = ask("crystallize", queries[0][0], "--max-rows", "3")
    assert run.returncode == 3, run.stdout + run.stderr
    assert "BUDGET EXHAUSTED" in run.stdout


def test_mistakes_exit_with_2(ask, tmp_path):
    assert ask("crystallize").returncode == 2
    assert ask("crystallize", "x", "--units", "layers").returncode == 2
    run = ask("verify", str(tmp_path / "absent.json"))
    assert run.returncode == 2
    assert "absent.json" in run.stderr


def test_what_the_server_refuses_exits_with_4(ask, server):
    run = ask("crystallize", "x", "--tau", "-1")
    assert run.returncode == 4
    assert run.stdout == ""
    assert run.stderr.startswith(
        "spar: INVALID_ARGUMENT: OPTION_OUT_OF_RANGE at options.tau: ")
    assert "\x1b" not in run.stderr
    run = ask("crystallize", "x", "--tau", "-1", "--output", "json")
    error = json.loads(run.stderr)["error"]
    assert (error["code"], error["reason"], error["field"]) == (
        "INVALID_ARGUMENT", "OPTION_OUT_OF_RANGE", "options.tau")
    run = spar("--server", server.address, "predict", "x")
    assert run.returncode == 4
    assert "models/bare, models/demo, models/tiny" in run.stderr
    assert spar("--server", "127.0.0.1:1", "models").returncode == 4


def test_an_unwritable_certificate_exits_with_5_before_the_search(ask, queries, tmp_path):
    run = ask("crystallize", queries[0][0], "--certificate", str(tmp_path / "no" / "x"))
    assert run.returncode == 5
    assert run.stdout == ""


def test_an_unwritable_output_exits_with_5(server):
    with open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run(
            [os.environ["SPAR"], "--server", server.address, "models"], stdout=full,
            stderr=subprocess.PIPE, env=environment(), timeout=PATIENCE, check=False)
    assert run.returncode == 5


def test_waits_for_the_server(server):
    run = spar("--server", server.address, "wait")
    assert (run.returncode, run.stdout) == (0, "serving\n")
    assert spar("--server", server.address, "wait", "nobody").returncode == 4
