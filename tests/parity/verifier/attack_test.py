"""The Python verifier's attack against its definition, written apart from it."""

import pathlib
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "client/python"), str(ROOT / "tests/parity")]

import zoo  # noqa: E402
from spar.certificate import CertifiedAttack  # noqa: E402
from spar.exact_model import margins  # noqa: E402
from spar.exact_units import HeadAndNeuronUnits, Row  # noqa: E402
from spar.open_model import open_model  # noqa: E402
from spar.verify_attack import Attacker, draws  # noqa: E402

SEED = 2**63 + 12345
MASK = 2**64 - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def draw(seed, restart, unit):
    bits = mix(mix(mix(mix(seed) ^ 8) ^ restart) ^ unit)
    return (bits >> 11) / 2**53


@dataclass
class Stated:
    """What of a certificate an attack reads."""

    tokens: list
    target: int
    attack: CertifiedAttack
    unit_scheme: str = "head+neuron"
    seed: str = str(SEED)
    units: list = field(default_factory=list)


def make_row(tokens, units, places):
    return Row([tokens[p] for p in places], list(places), places, units, len(tokens))


def test_first_masks_are_those_of_the_definition():
    units = [0, 1, 7, 1000, 2**31 - 1]
    for restart in (1, 2, 63):
        want = [draw(SEED, restart, unit) for unit in units]
        assert draws(SEED, restart, units).tolist() == want


@pytest.mark.parametrize("name", ["gpt2", "llama", "simple_mlp"])
def test_points_follow_the_signs_of_finite_differences(name, tmp_path):
    model = open_model(zoo.make(name, tmp_path))
    units = HeadAndNeuronUnits(model, "head+neuron")
    attack = CertifiedAttack(0.0, [], restarts=3, step_size=0.25, steps=3,
                             unit_deletion_margins=[])
    tokens, places = [5, 9, 2, 11], [0, 2, 3]
    kept = list(range(0, model.num_units, 2))
    full = model.run([tokens], [[0, 1, 2, 3]])
    stated = Stated(tokens, int(full.argmax()), attack, units=kept)
    row = make_row(tokens, kept, places)

    def logits_at(masks):
        return units.logits([row] * len(masks), list(torch.as_tensor(masks))).numpy()

    def smooth(masks):
        logits = logits_at(masks)
        others = np.delete(logits, stated.target, axis=1)
        return logits[:, stated.target] - np.log(np.exp(others).sum(axis=1))

    free = [u for u in range(model.num_units) if u not in kept]
    lowest = np.inf
    for restart in range(3):
        point = units.mask(row).numpy()
        if restart > 0:
            point[free] = [draw(SEED, restart, unit) for unit in free]
        for step in range(4):
            lowest = min(lowest, margins(logits_at(point[None]), stated.target)[0])
            if step == 3:
                break
            moved = point.copy()
            up, down = np.tile(point, (len(free), 1)), np.tile(point, (len(free), 1))
            up[range(len(free)), free] += 1e-4
            down[range(len(free)), free] -= 1e-4
            slope = smooth(up) - smooth(down)
            moved[free] = np.clip(point[free] - 0.25 * np.sign(slope), 0, 1)
            point = moved
    attacker = Attacker(stated, units, make_row)
    found, masks = attacker.worst(kept, places)
    assert found == pytest.approx(lowest, abs=1e-9)
    assert attacker.rows == 3 * 4
    assert attacker.margin(kept, places, masks) == pytest.approx(found, abs=1e-12)
    # Stopped at the first point that is low enough.
    early = Attacker(stated, units, make_row)
    early.worst(kept, places, stop_at=np.inf)
    assert early.rows == 3


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", *sys.argv[1:]]))
