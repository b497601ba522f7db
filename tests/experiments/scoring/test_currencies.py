"""Lines of currencies: exact Bayes has what they say of it, and what is off it is refuted."""

import numpy as np
import pytest

from experiments.scoring.currencies import CLOSURE, CONTEXT, INTERACTION, LAYERS, RATE, currency_lines
from experiments.storage.currencies_cell import AXES, CurrenciesCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

PRICE = 1.8
SHOTS, NATS, GAINS, TOTALS = (0, 1, 2), (-2.0, 0.0, 2.0), np.array([0.0, 1.0, 2.0]), (1, 3)
SIZES = {"m": 1, "s": 2, "d": 3, "n": 3, "w": 2, "x": 3, "q": 2, "r": 2, "b": 2, "t": 2, "l": 2, "c": 4}
SIZES |= {"f": 7, "h": 2, "a": 3, "j": 3, "i": 2, "p": 4}


def of_odds(odds):
    """Beliefs (..., 2) with these log-odds."""
    return np.stack([1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))], axis=-1)


def cell_of(rate=1.0, price=PRICE, noise=0.0, seed=0):
    """A cell of networks that add up pairs of `price`, steering at a `rate`, and D'."""
    random = np.random.default_rng(seed)
    arrays = {name: np.ones([SIZES[axis] for axis in axes]) for name, axes in AXES.items()}
    d, n, w, x = np.meshgrid(GAINS, SHOTS, (0, 1), NATS, indexing="ij")
    odds = d - price * n + rate * np.where(w == 1, n, 1) * x
    odds = np.broadcast_to(odds[None, None, ..., None, None], arrays["beliefs"].shape[:-1])
    odds = odds + noise * random.normal(size=odds.shape)
    names = {"methods": ["sgd"], "doses": [0, 1, 8], "shots": SHOTS, "nats": NATS, "totals": TOTALS}
    arrays |= {name: np.array(value) for name, value in names.items()}
    arrays |= {"depths": np.array([1, 2]), "price": np.array(PRICE), "beliefs": of_odds(odds)}
    arrays["ahead"] = of_odds(np.full((2, 2), -price) + noise * random.normal(size=(2, 2)))
    return CurrenciesCell(**arrays)


def lines_of(*cells):
    found = {Cell("inside", "arm", base): cell for base, cell in enumerate(cells)}
    return currency_lines(MemoryRun("three-currencies", (1, 8), found))


def test_bayesian_networks_have_what_bayes_says_in_every_measure():
    lines = lines_of(*(cell_of() for _ in range(3)))
    assert {line.test for line in lines} == {RATE, INTERACTION, CLOSURE, CONTEXT, LAYERS}
    known = [line for line in lines if line.bayes is not None]
    assert {line.test for line in known} == {RATE, INTERACTION, CLOSURE, CONTEXT}
    for line in known:
        assert line.value.value == pytest.approx(line.bayes, abs=1e-6), line
    given = {line.dose: line.value.value for line in lines if line.measure == "nats of D′"}
    assert given == pytest.approx({1: 1.0, 8: 2.0})
    assert {line.networks for line in lines} == {3, 6}  # base networks, and finetuned ones


def test_averaged_shots_and_weak_steering_are_refuted():
    lines = lines_of(*(cell_of(rate=0.7, price=1.2, noise=0.01, seed=seed) for seed in range(4)))
    refuted = {(line.test, line.measure) for line in lines if line.refuted}
    assert {(RATE, "nats of pair 1"), (RATE, "nats of one pair ahead, of 3")} <= refuted
    assert (RATE, "nat in the question towards, 0 shown") in refuted
    assert (CLOSURE, "steering of shots / of dose") not in {key for key in refuted}  # the rates agree
    assert not any(test == INTERACTION for test, _ in refuted)


def test_nothing_is_said_of_what_no_network_resolves():
    cell = cell_of()
    hidden = dict.fromkeys(("beliefs", "ahead"))
    arrays = cell.to_arrays() | {name: 0 * getattr(cell, name) for name in hidden}
    tests = {line.test for line in lines_of(CurrenciesCell(**arrays))}
    assert tests == {RATE, CONTEXT, LAYERS}  # the share of the wrong sign, K and the layers
