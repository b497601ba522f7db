"""Lines of currencies: exact Bayes has what they say of it, and what is off it is refuted."""

import numpy as np
import pytest

from experiments.scoring.currencies import (
    CLOSURE,
    CONTEXT,
    EXAMPLES,
    HEADS,
    INTERACTION,
    LAWS,
    LAYERS,
    PREVENTION,
    RATE,
    SPAN,
    currency_lines,
)
from experiments.storage.currencies_cell import AXES, CurrenciesCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

PRICE = 1.8
SHOTS, NATS, GAINS, TOTALS = (0, 1, 2), (-2.0, 0.0, 2.0), np.array([0.0, 1.0, 2.0]), (1, 3, 5)
SIZES = {"m": 1, "s": 2, "d": 3, "n": 3, "w": 2, "x": 3, "q": 2, "r": 2, "b": 2, "t": 3, "l": 2, "c": 4}
SIZES |= {"f": 7, "h": 2, "a": 3, "j": 3, "i": 2, "p": 4, "u": 2, "v": 2, "z": 2}


def of_odds(odds):
    """Beliefs (..., 2) with these log-odds."""
    return np.stack([1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))], axis=-1)


def cell_of(rate=1.0, price=PRICE, noise=0.0, seed=0, prevented=0.0):
    """A cell of networks that add up pairs of `price`, steering at a `rate`, and D', of which they learn less
    by `prevented` nats for a nat by which they are steered meanwhile."""
    random = np.random.default_rng(seed)
    arrays = {name: np.ones([SIZES[axis] for axis in axes]) for name, axes in AXES.items()}
    d, n, w, x = np.meshgrid(GAINS, SHOTS, (0, 1), NATS, indexing="ij")
    odds = d - price * n + rate * np.where(w == 1, n, 1) * x
    odds = np.broadcast_to(odds[None, None, ..., None, None], arrays["beliefs"].shape[:-1])
    odds = odds + noise * random.normal(size=odds.shape)
    names = {"methods": ["sgd"], "doses": [0, 1, 8], "shots": SHOTS, "nats": NATS, "totals": TOTALS}
    arrays |= {name: np.array(value) for name, value in names.items()}
    arrays |= {"depths": np.array([1, 2]), "price": np.array(PRICE), "beliefs": of_odds(odds)}
    arrays["ahead"] = of_odds(np.full((3, 2), -price) + noise * random.normal(size=(3, 2)))
    d, w, z, n = np.meshgrid(GAINS, (0, 1), (-2.0, 2.0), SHOTS, indexing="ij")
    odds = d - prevented * z * (d > 0) - price * n
    arrays["under"] = of_odds(np.broadcast_to(odds[None, None, ..., None, None], arrays["under"].shape[:-1]))
    arrays["training_nats"] = np.array([-2.0, 2.0])
    return CurrenciesCell(**arrays)


def lines_of(*cells):
    found = {Cell("inside", "arm", base): cell for base, cell in enumerate(cells)}
    return currency_lines(MemoryRun("three-currencies", (1, 8), found))


def test_bayesian_networks_have_what_bayes_says_in_every_measure():
    lines = lines_of(*(cell_of() for _ in range(3)))
    more = {LAYERS, SPAN, HEADS}
    assert {line.test for line in lines} == {RATE, INTERACTION, CLOSURE, CONTEXT, PREVENTION, LAWS} | more
    known = [line for line in lines if line.bayes is not None]
    assert {line.test for line in known} == {RATE, INTERACTION, CLOSURE, CONTEXT, PREVENTION, LAWS}
    for line in known:
        assert line.value.value == pytest.approx(line.bayes, abs=1e-6), line
    missed = {line.measure: line.value.value for line in lines if line.measure.startswith("nats missed")}
    assert missed["nats missed by the law: exact"] == pytest.approx(0, abs=1e-6)
    given = {line.dose: line.value.value for line in lines if line.measure == "nats of D′"}
    assert given == pytest.approx({1: 1.0, 8: 2.0})
    assert {line.networks for line in lines} == {3, 6}  # base networks, and finetuned ones


def test_sums_over_examples_are_refuted_where_they_do_not_add_and_correct():
    random = np.random.default_rng(0)

    def cell(slope, last, nats):
        arrays = {
            "examples": np.array([2, 3]),
            "added": np.tile([slope, slope, slope, 0.5], (2, 1)),
            "vectors": np.tile([0.7, 0.9], (2, 1)),
            "corrected": np.tile([last, -0.3, 0.0], (2, 1)),
            "right": np.array([1, 2]),
            "recency": np.full(2, nats),
        }
        noisy = {name: part + 0.001 * random.normal(size=part.shape) for name, part in arrays.items()}
        whole = {name: arrays[name] for name in ("examples", "right")}
        return CurrenciesCell(**{**cell_of().to_arrays(), **noisy, **whole})

    bayes = lines_of(*(cell(1.0, -0.3, 0.0) for _ in range(4)))
    (recency,) = [line for line in bayes if line.measure.startswith("nats of a wrong pair before 1")]
    assert recency.bayes == 0 and recency.value.value == pytest.approx(0, abs=0.01)
    assert {line.measure for line in bayes if line.test == EXAMPLES and line.bayes is None} >= {
        "writes of heads, 3 pairs: share",
        "correction, 2 pairs: first pair",
    }
    refuted = {line.measure for line in lines_of(*(cell(0.8, -0.6, 0.4) for _ in range(4))) if line.refuted}
    assert {
        "answers, 3 pairs: slope",
        "answers, 2 pairs: share",
        "correction, 3 pairs: last less first",
        "nats of a wrong pair before 2 right ones less after",
    } <= refuted
    assert "correction, 3 pairs: parts" not in refuted and "answers, 2 pairs: resolved" not in refuted


def test_averaged_shots_and_weak_steering_are_refuted():
    lines = lines_of(*(cell_of(rate=0.7, price=1.2, noise=0.01, seed=seed) for seed in range(4)))
    refuted = {(line.test, line.measure) for line in lines if line.refuted}
    assert {(RATE, "nats of pair 1"), (RATE, "nats of one pair ahead, of 3")} <= refuted
    assert (RATE, "nat in the question towards, 0 shown") in refuted
    assert (CLOSURE, "steering of shots / of dose") not in {key for key in refuted}  # the rates agree
    assert not any(test == INTERACTION for test, _ in refuted)


def test_what_steering_has_done_already_may_not_be_learnt():
    lines = lines_of(*(cell_of(prevented=0.8) for _ in range(2)))
    less = [line for line in lines if line.test == PREVENTION]
    assert {line.measure for line in less} == {
        f"less for a nat in the {where} {direction}"
        for where in ("question", "pairs")
        for direction in ("towards", "away")
    }
    assert [line.value.value for line in less] == pytest.approx([0.8] * len(less), abs=1e-6)
    assert all(line.refuted for line in less)


def test_nothing_is_said_of_what_no_network_resolves():
    cell = cell_of()
    hidden = dict.fromkeys(("beliefs", "ahead", "under"))
    arrays = cell.to_arrays() | {name: 0 * getattr(cell, name) for name in hidden}
    tests = {line.test for line in lines_of(CurrenciesCell(**arrays))}
    assert tests == {RATE, CONTEXT, LAYERS, SPAN, HEADS}  # the share of the wrong sign, K and the layers
