"""Lines of the inside: what is exact is exact, sums over networks, and what counts as refuted."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.inside import BAYES, TESTS, inside_lines
from experiments.storage.inside_cell import (
    AXES,
    FORETOLD,
    OLD_PROBES,
    READ,
    RESPONSE,
    TRANSLATION,
    VECTORS,
    InsideCell,
)
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

SIZES = {"m": 2, "s": 3, "d": 2, "l": 2, "e": 2, "p": 2, "f": 7, "v": 3} | dict.fromkeys("jhw", 2)
SIZES |= {"b": len(READ), "r": len(RESPONSE), "t": len(TRANSLATION), "i": len(OLD_PROBES), "g": 4, "o": 2}
NAMES = {"methods": ["sgd", "adam"], "doses": [1, 8], "depths": [1, 2], "edited": [1, 2]}


def cell_of(**changes):
    """A cell of networks that do what Bayes says: translation 1, nothing missed, steering 1."""
    shapes = {name: [SIZES[axis] for axis in axes] for name, axes in AXES.items()}
    values = {name: np.ones(shape) for name, shape in shapes.items()} | {
        name: np.array(value) for name, value in NAMES.items()
    }
    values["missed"] *= 0
    values["noise"] *= 0
    values["read"][..., 1:] = 0
    values["foretold"] *= 0
    values["response"][..., 1:] = 0
    values["translation"][..., TRANSLATION.index("spread")] = 0
    return InsideCell(**(values | changes))


def lines_of(cells):
    return inside_lines(MemoryRun("inside-beliefs", (1, 8), cells))


def near(cell, random, name, part, value):
    """The cell with one part of an array about a value."""
    array = getattr(cell, name).copy()
    array[..., part] = value + 0.01 * random.normal(size=array[..., part].shape)
    return replace(cell, **{name: array})


def test_bayesian_networks_have_what_bayes_says_in_every_test():
    lines = lines_of({Cell("inside", "arm", base): cell_of() for base in range(3)})
    assert {line.test for line in lines} == {*TESTS}
    assert {(line.test, line.measure) for line in lines} >= {*BAYES}
    for line in lines:
        assert line.bayes is None or line.value.value == pytest.approx(line.bayes), line
        assert line.networks == (9 if line.method else 3) and not line.refuted


def test_sufficiency_is_a_ratio_of_sums():
    missed, shift = np.zeros((2, 3, 2, 3)), np.ones((2, 3, 2))
    shift[:, 0], missed[:, 0, :, 2] = 4.0, 1.0
    lines = lines_of({Cell("inside", "arm", 0): cell_of(missed=missed, shift=shift)})
    found = {line.measure: line.value for line in lines if line.test == "T2" and line.method == "sgd"}
    assert found["free"].value == pytest.approx(1 - 1 / 6) and found["pattern"].value == 1
    assert found["free"].interval is None  # of one base network


def test_a_posterior_explains_inside_by_a_ratio_of_sums_and_is_refuted_below_one():
    random, cells = np.random.default_rng(0), {}
    for base in range(4):
        read = np.zeros((2, 3, 2, 2, len(READ)))
        read[..., READ.index("unchanged")] = 0.2
        read[..., READ.index("exchangeable mixture")] = 0.05 + 0.001 * random.normal(size=(2, 3, 2, 2))
        foretold = np.stack([0 * read[..., 0], read[..., 0] / 4], axis=-1)
        cells[Cell("inside", "arm", base)] = cell_of(read=read, foretold=foretold)
    lines = [line for line in lines_of(cells) if line.test == "T7"]
    assert {line.measure for line in lines} == {*READ[1:], *FORETOLD}
    linear = [line.value.value for line in lines if line.measure == "linearised"]
    assert linear == pytest.approx([0.75] * 8)  # of which Bayes says nothing
    assert {line.measure for line in lines if line.refuted} == {"exchangeable mixture"}
    values = [line.value.value for line in lines if line.measure == "exchangeable mixture"]
    assert values == pytest.approx([0.75] * 8, abs=0.01)


def test_a_vector_is_refuted_by_what_it_loses_beyond_another_order_of_the_data():
    random, cells = np.random.default_rng(0), {}
    for base in range(4):
        noise = 0.2 + 0.01 * random.normal(size=(2, 3, 2))
        missed = noise[..., None] + 0.01 * random.normal(size=(2, 3, 2, 3))
        missed[..., VECTORS.index("pattern")] += 0.3
        cells[Cell("inside", "arm", base)] = cell_of(noise=noise, missed=missed)
    lines = lines_of(cells)
    assert {line.measure for line in lines if line.refuted} == {"lost: pattern"}
    twins = [line.value.value for line in lines if (line.test, line.measure) == ("T2", "twin")]
    assert twins == pytest.approx([0.8] * 4, abs=0.02)


def test_a_tempered_belief_and_a_lost_filter_are_refuted():
    random, cells = np.random.default_rng(0), {}
    for base in range(4):
        cell = near(cell_of(), random, "translation", TRANSLATION.index("slope"), 0.7)
        for part, value in enumerate((0.9, 0.5, 0.5, 0.9)):
            cell = near(cell, random, "old_probes", part, value)
        cells[Cell("inside", "arm", base)] = cell
    refuted = {(line.test, line.measure) for line in lines_of(cells) if line.refuted}
    assert refuted == {("T1", "slope"), ("T5", "loss")}


def test_a_spread_alone_refutes_nothing_and_what_has_no_factors_has_no_lines():
    random = np.random.default_rng(0)
    cells = {
        Cell("inside", "arm", base): near(
            cell_of(factors=np.full((2, 4), np.nan)), random, "translation", 1, 0.5
        )
        for base in range(4)
    }
    lines = lines_of(cells)
    assert not any(line.refuted for line in lines) and "T6" not in {line.test for line in lines}
