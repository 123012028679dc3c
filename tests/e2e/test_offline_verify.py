"""Certificates checked without the server that made them."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from spard_process import PATIENCE, environment

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def certificate(server, queries, tmp_path_factory):
    import spar

    with spar.Client(server.address, model="demo") as client:
        text = client.crystallize(queries[0][0]).explanation.certificate.canonical_json
    path = tmp_path_factory.mktemp("certificate") / "certificate.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def tampered(certificate, tmp_path):
    """The certificate with a unit less, under its old digest."""
    content = json.loads(certificate.read_text(encoding="utf-8"))
    content["units"] = content["units"][1:]
    path = tmp_path / "tampered.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, timeout=PATIENCE, env=environment())


def offline(path, folder, cache):
    return run(os.environ["SPARD"], "verify", path, "--model", folder, "--cache-dir", cache)


def independent(path, folder):
    return run(sys.executable, ROOT / "client" / "python" / "spar_verify.py", path, folder)


def test_spard_verifies_offline(certificate, folders, cache):
    found = offline(certificate, folders["demo"], cache)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.startswith("valid")


def test_spard_refuses_what_was_changed(tampered, folders, cache):
    found = offline(tampered, folders["demo"], cache)
    assert found.returncode == 1, found.stdout + found.stderr
    assert found.stdout.startswith("invalid")


def test_spard_refuses_another_model(certificate, folders, cache):
    found = offline(certificate, folders["tiny"], cache)
    assert found.returncode == 1, found.stdout + found.stderr


def test_an_independent_program_agrees(certificate, tampered, folders):
    found = independent(certificate, folders["demo"])
    assert found.returncode == 0, found.stdout + found.stderr
    found = independent(tampered, folders["demo"])
    assert found.returncode == 1, found.stdout + found.stderr
