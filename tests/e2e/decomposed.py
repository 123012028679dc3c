"""A server of a model that is decomposed, and what it ought to say."""

import contextlib
import pathlib
import sys

from random_model import word
from spard_process import Spard

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "parity"))

from decomposition_reference import Reference  # noqa: E402
from decomposition_test import module_inputs  # noqa: E402
from random_decomposition import KINDS, linear_weights, write_decomposition  # noqa: E402


# A prompt of "tiny" as ids and as text, and a quick pruning of it.
PROMPT = [7, 2, 33, 41, 7]
TEXT = " ".join(word(token) for token in PROMPT)
QUICK_OPTIONS = ("--decomposition", "main", "--coefficients", "1e-4,0.1,3", "--steps", "60",
                 "--learning-rate", "0.05", "--masks", "ci")


class Decomposed:
    """A server of "tiny", decomposed twice, and of "bare", not decomposed."""

    def __init__(self, root, model, address):
        self.model, self.address = model, address
        self.folder = root / "main"
        self.weights = linear_weights(model, "wte")
        self.reference = Reference(self.folder)

    def truth(self, tokens):
        """Module to (g, a), each [T, C] in float64."""
        inputs = module_inputs(self.model, tokens, "wte", list(self.weights))
        z = self.reference.logits(inputs)
        return {name: (self.reference.lower(z[name]).numpy(),
                       self.reference.activations(name, inputs[name]).numpy())
                for name in self.weights}


@contextlib.contextmanager
def serve_decomposed(root, folders, cache):
    """The Decomposed, while its server lives. Decompositions are made in root."""
    model = folders["tiny"]
    weights = linear_weights(model, "wte")
    write_decomposition(root / "main", model, weights, KINDS["transformer"], "leaky_hard", 5)
    write_decomposition(root / "other", model, weights, KINDS["mlp"], "normal", 6)
    with Spard(f"--model=tiny={model}", f"--model=bare={folders['bare']}",
               f"--decomposition=tiny/main={root / 'main'}",
               f"--decomposition=tiny/other={root / 'other'}", cache=cache) as spard:
        made = Decomposed(root, model, spard.address)
        made.spard = spard
        yield made
        assert spard.is_alive()
        assert spard.stop() == 0
