"""Models and servers that the tests share."""

import pathlib

import pytest

import spar
from decomposed import serve_decomposed
from random_model import word, write_random_model
from spard_process import Spard
from spard_process import spar as spar_program

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo" / "model"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Model folders by name. "slow" has so many units that no test outlives a
    search of it; "bare" has no reference prompts."""
    parent = tmp_path_factory.mktemp("models")
    return {
        "demo": DEMO,
        "tiny": write_random_model(parent / "tiny"),
        "bare": write_random_model(parent / "bare", references=False, seed=2),
        "slow": write_random_model(parent / "slow", layers=8, width=256, heads=8,
                                   neurons=4096, context=64, seed=3),
    }


@pytest.fixture(scope="session")
def server(folders, cache):
    """Serves demo, tiny and bare to every test that leaves it as it was."""
    with Spard(*[f"--model={name}={folders[name]}" for name in ("demo", "tiny", "bare")],
               cache=cache) as spard:
        yield spard
        assert spard.is_alive()
        assert spard.stop() == 0


@pytest.fixture(scope="session")
def decomposed(folders, cache, tmp_path_factory):
    """Serves tiny with the decompositions "main" and "other", and bare."""
    root = tmp_path_factory.mktemp("decompositions")
    with serve_decomposed(root, folders, cache) as made:
        yield made


@pytest.fixture(scope="session")
def ask(decomposed):
    """Runs `spar` about the decomposed model."""
    def run(*arguments, **keywords):
        return spar_program("--server", decomposed.address, "--model", "tiny", *arguments,
                            **keywords)
    return run


@pytest.fixture(scope="session")
def demo_server(folders, cache):
    """Serves the demo model alone, so that calls need not name it."""
    with Spard(f"--model=demo={folders['demo']}", cache=cache) as spard:
        yield spard
        assert spard.stop() == 0


@pytest.fixture
def slow_server(folders, cache):
    """Takes one search at a time, and that one lasts."""
    with Spard(f"--model=slow={folders['slow']}", "--max-searches=1", cache=cache) as spard:
        yield spard


@pytest.fixture(scope="session")
def queries():
    """(prompt, answer) of the demo model's shipped queries; first those of
    6 to 9 words, whose searches are quick."""
    lines = (DEMO.parent / "queries.txt").read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split("\t")[1:3]) for line in lines]
    return sorted(pairs, key=lambda pair: not 6 <= len(pair[0].split()) <= 9)


@pytest.fixture
def client(server):
    with spar.Client(server.address, model="demo") as made:
        yield made


@pytest.fixture
def slow_prompt():
    return " ".join(word(1 + i % 40) for i in range(48))
