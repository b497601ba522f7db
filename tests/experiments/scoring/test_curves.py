"""Lines of curves: sums over networks, differences network by network, and what counts as refuted."""

import numpy as np
import pytest

from experiments.scoring.column_use import use_lines
from experiments.scoring.curves import BAYES, TESTS, curve_lines
from experiments.scoring.newline_code import newline_lines
from experiments.storage.column_use import TILES
from experiments.storage.curve_cell import AXES, CODE, FOLLOWED, MOVED, TWIST, USED, CurveCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.memory import MemoryRun
from experiments.storage.newline_code import BANDS, CODE_OF, RANKED_BY, SUMS, WRITERS
from experiments.storage.records import Cell

PARTS = {"c": CODE, "t": TWIST, "u": USED, "f": FOLLOWED, "n": MOVED}
SIZES = {axis: len(names) for axis, names in PARTS.items()} | dict(
    zip("msdlbvwgerzhkOEAHQYTP", (2, 3, 2, 2, 2, 9, 5, 6, 8, 2, 2, 3, 2, 3, 3, 3, 2, 4, 2, 5, 4), strict=True)
)
OPTIONAL = CurveCell.optional
SIZES |= {"x": len(FEATURES), "y": 2, "q": 3}
SIZES |= {"S": len(SUMS), "W": len(WRITERS), "C": len(CODE_OF), "F": len(RANKED_BY), "B": len(BANDS)}
NAMES = {
    "methods": ["sgd", "adam"],
    "doses": [1, 8],
    "depths": [1, 2],
    "columns": range(9),
    "lengths": range(5),
}


def cell_of(random, **changes):
    """A cell of networks near what Bayes says."""
    values = {
        name: 1 + 0.01 * random.normal(size=[SIZES[axis] for axis in axes])
        for name, axes in AXES.items()
        if name != "head_losses"
    }
    values["head_losses"] = np.ones([SIZES[axis] for axis in AXES["head_losses"]])
    values |= {name: np.array(value) for name, value in NAMES.items()}
    values["exact_dimension"] = np.array(3)  # of its own columns: no part of what is stated beforehand
    for name in ("base_code", "code"):
        values[name][..., CODE.index("dimension")] = 3
        values[name][..., CODE.index("column")] = 0.9
    for name in ("base_used", "used"):
        values[name][..., 1:] -= 0.3
    values["moved"][..., MOVED.index("old probe")] = 0.9
    values["moved"][..., MOVED.index("twin bend")] += 0.2
    values["turned"][..., 1] += 0.2
    values["rotations"] *= 0.2
    values["best_rotation"] = np.array(0.1)
    values["head_losses"][..., 0, 0] += 0.5
    values |= {name: np.ones([SIZES[axis] for axis in axes]) for name, axes in OPTIONAL.items()}
    values |= {name: 0.5 * values[name] for name in ("column_table", "additive", "beyond_additive")}
    values["ablated"][:, 1:] -= 0.6
    for name, part in (("tiled", "within"), ("tiled", "line_sum"), ("untrained_tiled", "within")):
        values[name][:, TILES.index(part)] -= 0.5
    values["lines_beyond"][:, 1:] -= 0.4
    values["newline_sums"][SUMS.index("perceptrons"), CODE_OF.index("comparison")] = 0.25
    values["newline_auc"] -= 0.1 * (np.arange(len(RANKED_BY)) < len(RANKED_BY) - 1)[:, None]
    values["newline_auc"][:, :, 0] = 0.98
    return CurveCell(**(values | changes))


def run_of(change=lambda random: {}, count=6):
    random = np.random.default_rng(0)
    cells = {Cell("inside", "arm", base): cell_of(random, **change(random)) for base in range(count)}
    return MemoryRun("linebreak-manifold", (1, 8), cells)


def test_old_cells_have_no_lines_of_what_was_measured_later():
    old = curve_lines(run_of(lambda random: dict.fromkeys(OPTIONAL)))
    new = curve_lines(run_of())
    extra = {(line.test, line.measure) for line in new} - {(line.test, line.measure) for line in old}
    assert {("M1", "column by shuffled"), ("T6", "beyond, newline within 3: streams")} <= extra
    assert {line.test for line in old} == {"M1", "M2", "M3", "M4", "M5", "M6", "M7"}
    (exact,) = [line for line in new if line.measure == "additive code, newline within 2"]
    assert exact.networks == "exact" and exact.value.value == 0.5


def test_networks_near_what_bayes_says_are_not_refuted():
    lines = [line for lines_of in (curve_lines, use_lines, newline_lines) for line in lines_of(run_of())]
    assert {line.test for line in lines} == {*TESTS}
    assert {(line.test, line.measure) for line in lines} >= {*BAYES}
    assert not [line for line in lines if line.refuted]
    values = {(line.test, line.measure, line.networks): line.value.value for line in lines}
    assert values["M4", "advantage", "base"] == pytest.approx(0.28, abs=0.02)
    assert values["M5", "beyond rotations, best block", "base"] == pytest.approx(0.7, abs=0.03)
    assert values["M7", "twisted head, at newlines", "base"] == pytest.approx(1.5, abs=0.02)
    assert values["M7", "other heads, elsewhere", "base"] == pytest.approx(1, abs=0.02)
    assert values["M8", "classes, share of columns", "base"] == pytest.approx(1 / 9, abs=0.01)
    assert values["M9", "beyond random, at newlines", "base"] == pytest.approx(0.6, abs=0.02)
    assert values["M10", "all heads, newline beyond random", "base"] == pytest.approx(0, abs=0.02)
    assert values["M11", "apart beyond within", "untrained"] == pytest.approx(0.5, abs=0.02)
    assert values["M12", "advantage", "base"] == pytest.approx(0.4, abs=0.03)
    assert values["M13", "comparison, heads less perceptrons", "base"] == pytest.approx(0.75)
    assert values["M14", "within 3, early: share of ceiling", "base"] == pytest.approx(0.96)
    assert values["M14", "within 1, late: streams less outputs", "base"] == pytest.approx(0.08)
    assert values["M6", "loss", "adam"] == pytest.approx(0, abs=1e-9)
    assert {line.count for line in lines if line.networks == "base"} == {6}
    assert {line.count for line in lines if line.networks == "sgd"} == {18}


def test_a_place_code_that_no_head_twists_and_the_longest_line_are_refuted():
    def change(random):
        code = np.full((2, len(CODE)), 0.9)
        code[:, CODE.index("dimension")] = 6 + random.integers(0, 2)
        used = np.array([0.5, 0.5, 0.8, 0.3, 0.2]) + 0.01 * random.normal(size=5)
        return {"base_code": code, "base_used": used, "rotations": np.full((2, 2), 1.2)}

    refuted = {(line.test, line.measure) for line in curve_lines(run_of(change)) if line.refuted}
    assert {test for test, _ in refuted} == {"M1", "M4", "M5"}


def test_a_column_with_another_path_heads_alike_and_the_longest_line_are_refuted():
    def change(random):
        tiled = np.tile([4.0, 4.5, 0.5, 0.7, 0.5], (2, 1)) + 0.01 * random.normal(size=(2, 5))
        beyond = np.array([0.2, 0.6, 0.1, 0.9]) + 0.01 * random.normal(size=(2, 4))
        slopes = np.full((2, 2, 4), 0.5) + 0.01 * random.normal(size=(2, 2, 4))
        lost = np.full((2, 3, 2), 0.4) + 0.01 * random.normal(size=(2, 3, 2)) + [[0], [0], [0.5]]
        return {"tiled": tiled, "lines_beyond": beyond, "query_slopes": slopes, "ablated": lost}

    refuted = {(line.test, line.measure) for line in use_lines(run_of(change)) if line.refuted}
    assert refuted == {
        *(("M9", f"share of exact, {where}") for where in ("at newlines", "elsewhere")),
        ("M9", "beyond random, at newlines"),
        *(("M10", measure) for measure in ("twisted head, attention", "all heads, newline")),
        ("M11", "apart beyond within"),
        ("M12", "advantage"),
    }


def test_perceptrons_that_compare_and_a_stream_that_looks_no_further_are_refuted():
    def change(random):
        sums = 0.5 + 0.01 * random.normal(size=(len(SUMS), len(CODE_OF)))
        sums[SUMS.index("perceptrons")] += 0.3
        writers = 0.5 + 0.01 * random.normal(size=(2, len(WRITERS), len(CODE_OF)))
        area = np.full((3, 2, len(RANKED_BY), len(BANDS)), 0.5) + 0.001 * random.normal(size=(len(BANDS),))
        area[:, :, RANKED_BY.index("exact")] = 0.8
        area[:, :, RANKED_BY.index("outputs cubic")] += 0.01
        return {"newline_sums": sums, "newline_writers": writers, "newline_auc": area}

    lines = newline_lines(run_of(change))
    assert {(line.test, line.measure) for line in lines if line.refuted} == {
        ("M13", "heads: better code"),
        ("M13", "comparison, heads less perceptrons"),
        ("M14", "within 3, early: share of ceiling"),
        ("M14", "within 3, early: streams less outputs"),
    }
    values = {(line.measure, line.depth): line.value.value for line in lines if line.networks == "base"}
    assert values["heads: comparison", 0] == pytest.approx(0.5, abs=0.02)
    assert values["within 2, middle: share of ceiling", 2] == pytest.approx(0, abs=0.01)
    level = {"newline_auc": np.full((3, 2, len(RANKED_BY), len(BANDS)), 0.5)}
    none = newline_lines(run_of(lambda random: level))
    assert not [line for line in none if "share of ceiling" in line.measure]  # nothing can be known


def test_cells_made_before_the_newline_was_measured_are_read_without():
    run = run_of(lambda random: {"newline_auc": None})
    assert newline_lines(run) == [] and len(use_lines(run)) > 100


def test_cells_made_before_the_use_of_columns_was_measured_are_read_without():
    run = run_of(lambda random: {"ablated": None})
    assert use_lines(run) == [] and len(curve_lines(run)) > 100


def test_records_have_plain_values():
    records = [line.record() for line in curve_lines(run_of(count=1))]
    assert {type(record["bayes"]) for record in records} == {str}
    assert all(record["low"] is None for record in records if record["networks"] == "base")
