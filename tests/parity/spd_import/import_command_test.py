"""The command `spar-import-spd`: arguments, output, exit status."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

import runs
from cases import CASES
from spar.import_spd import command, importer

CLIENT = pathlib.Path(command.__file__).resolve().parents[2]
CASE = "mlp_with_embedding"


@pytest.fixture
def folder(tmp_path):
    runs.write(CASES[CASE], tmp_path)
    return tmp_path


def _call(folder, *options):
    return command.main(
        [str(folder / "run"), str(folder / "out"), "--target", str(folder / "target")]
        + list(options)
    )


def _run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_it_says_what_was_imported(folder, capsys):
    assert _call(folder) == command.DONE
    said = capsys.readouterr()
    assert f"{folder}/out/decomposition  step 1000, 85 subcomponents of 13" in said.out
    assert "Delta holds" in said.out
    assert said.out.endswith(
        f"serve it with\n  spard --model out={folder}/out/model "
        f"--decomposition out/main={folder}/out/decomposition\n"
    )
    assert "the run names someone/tokenizer" in said.err
    assert "leave most of the weights to Delta" in said.err  # the run is random


def test_the_name_to_serve_it_by_is_one_that_spard_takes():
    def name(out):
        return shlex.split(command._serve(out))[2].split("=")[0]

    assert name("runs/s-55ea3f9b/") == "s-55ea3f9b"
    assert name("My Run (2)") == "my-run-2-"
    assert name("._.x") == "x"
    assert name("..") == "model"
    assert len(name("a" * 300)) == 64
    assert "'my-run=My Run/model'" in command._serve("My Run")


def test_json(folder, capsys):
    assert _call(folder, "--json") == command.DONE
    held = json.loads(capsys.readouterr().out)
    assert held["step"] == 1000
    assert held["kind"] == "mlp"
    assert held["model_type"] == "llama_simple_mlp"
    assert held["components"]["wte"] == 5
    sizes = [path.stat().st_size for path in folder.glob("out/*/*.safetensors")]
    assert held["written_bytes"] == sum(sizes)


def test_a_refusal(folder, capsys):
    (folder / "run" / "model_1000.pth").unlink()
    assert _call(folder) == command.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("spar-import-spd: ") and said.err.count("\n") == 1
    assert not (folder / "out").exists()


def test_unknown_fields_one_by_one(folder, capsys):
    path = folder / "run/final_config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "one": 1, "two": 2}))
    assert _call(folder, "--ignore-field", "one") == command.REFUSED
    assert "two: a field that the import does not know" in capsys.readouterr().err
    assert _call(folder, "--ignore-field", "one", "--ignore-field=two") == command.DONE


def test_bad_arguments(folder):
    with pytest.raises(SystemExit) as caught:
        command.main([str(folder / "run")])
    assert caught.value.code == command.USAGE
    with pytest.raises(SystemExit) as caught:
        _call(folder, "--step", "last")
    assert caught.value.code == command.USAGE


def test_a_folder_that_is_none(folder, capsys):
    shutil.rmtree(folder / "run")
    assert _call(folder) == command.REFUSED
    assert f"{folder}/run: want a folder" in capsys.readouterr().err


def test_an_output_that_cannot_be_written(folder, capsys):
    (folder / "file").write_text("")
    status = command.main(
        [str(folder / "run"), str(folder / "file/out"), "--target", str(folder / "target")]
    )
    assert status == command.NOT_WRITTEN
    assert "file" in capsys.readouterr().err


def test_an_interrupted_import_leaves_nothing(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importer, "_write_decomposition", interrupt)
    assert _call(folder) == command.INTERRUPTED
    assert sorted(os.listdir(folder)) == ["run", "target"]


def test_a_full_disk_leaves_nothing(folder, monkeypatch, capsys):
    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer, "_write_decomposition", fill)
    assert _call(folder) == command.NOT_WRITTEN
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(os.listdir(folder)) == ["run", "target"]


def test_the_script_and_its_help(folder):
    script = CLIENT / "spar_import_spd.py"
    shown = _run(script, "--help")
    assert shown.returncode == 0
    for word in ("RUN_FOLDER", "--target", "--tokenizer", "exit status", "--force"):
        assert word in shown.stdout
    done = _run(script, folder / "run", folder / "out", "--target", folder / "target")
    assert done.returncode == 0, done.stderr


def test_without_torch_it_says_how_to_get_it(folder):
    blocked = folder / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ImportError('no torch', name='torch')")
    path = f"{blocked}:{CLIENT}"
    module = "spar.import_spd.command"
    arguments = [folder / "run", folder / "out", "--target", folder / "target"]
    failed = _run("-m", module, *arguments, PYTHONPATH=path)
    assert failed.returncode == command.USAGE
    assert "pip install torch" in failed.stderr and "Traceback" not in failed.stderr
    assert _run("-m", module, "--help", PYTHONPATH=path).returncode == 0


def test_the_package_installs_the_command():
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())
    scripts = project["project"]["scripts"]
    assert scripts["spar-import-spd"] == "spar.import_spd.command:main"
    assert "spar.import_spd" in project["tool"]["setuptools"]["packages"]
    needs = " ".join(project["project"]["optional-dependencies"]["import-spd"])
    assert all(name in needs for name in ("torch", "pyyaml", "numpy"))
