"""Sizes of shifts: the squared log-ratio of theories, and the curve of the other ways of finetuning."""

import numpy as np
import pytest

from experiments.scoring.labels import SHIFT_CURVE
from experiments.scoring.sizes import fit_curve, sizes, table
from experiments.storage.records import Row

DOSES, SPEED = (1, 4, 16), {"sgd": 0.01, "adam": 0.03, "muon": 0.02}


def rows(outside, methods=SPEED, factor=2.0):
    """Two base networks with two D' each; `outside(method, x)` is the held-out shift at the in-domain one."""
    for method in methods:
        for base in range(2):
            for dose in DOSES:
                inside = tuple(SPEED[method] * dose * (1 + 0.1 * base + 0.2 * seed) for seed in range(2))
                for group in ("in_domain", "held_out"):
                    shift = inside if group == "in_domain" else tuple(outside(method, x) for x in inside)
                    more = None, shift, shift, (0.0,) * 2, None, shift, None
                    for theory, times in (("unchanged", 0.0), ("linearised", factor)):
                        yield Row(
                            "s", method, "arm", base, dose, theory, "network", "forecast", None, group, *more,
                            predicted_shift=tuple(times * value for value in shift),
                        )  # fmt: skip


def line(lines, **wanted):
    (found,) = [line for line in lines if all(getattr(line, key) == value for key, value in wanted.items())]
    return found


def test_a_theory_that_says_twice_the_size_is_off_by_log_two():
    lines = sizes(rows(lambda method, x: 0.5 * x**1.2))
    ours = line(lines, method="sgd", theory="linearised", group="held_out", dose=16)
    assert ours.error.value == pytest.approx(np.log(2) ** 2)
    assert ours.predicted == pytest.approx(2 * ours.shift) and ours.networks == 4
    assert not [line for line in lines if line.theory == "unchanged"]


def test_the_curve_is_exact_where_all_methods_share_it_and_is_of_the_others_alone():
    """A power law that one method leaves by the factor 3: it is scored by the curve of the other two."""
    shared = sizes(rows(lambda method, x: 0.5 * x**1.2))
    for method in SPEED:
        curve = line(shared, method=method, theory=SHIFT_CURVE, group="held_out", dose=16)
        assert curve.error.value == pytest.approx(0, abs=1e-12)
    apart = sizes(rows(lambda method, x: 0.5 * x**1.2 * (3 if method == "muon" else 1)))
    curve = line(apart, method="muon", theory=SHIFT_CURVE, group="held_out", dose=16)
    assert curve.error.value == pytest.approx(np.log(3) ** 2)
    assert curve.predicted == pytest.approx(curve.shift / 3)
    others = line(apart, method="sgd", theory=SHIFT_CURVE, group="held_out", dose=16)
    assert others.error.value > 0.1  # its curve holds the method that is apart


def test_one_way_of_finetuning_has_no_curve_and_rows_of_older_runs_no_sizes():
    alone = sizes(rows(lambda method, x: x, ["sgd"]))
    assert {line.theory for line in alone} == {"linearised"}
    assert not [line for line in alone if line.group == "in_domain" and line.theory == SHIFT_CURVE]
    old = [Row(**{**vars(row), "predicted_shift": None}) for row in rows(lambda method, x: x)]
    assert sizes(old) == [] and table([]) == []


def test_the_curve_goes_on_straight_beyond_its_points():
    x = np.linspace(-3.0, 0.0, 7)
    curve = fit_curve(x, x + 0.1 * x**2)
    np.testing.assert_allclose(curve(x), x + 0.1 * x**2, atol=1e-12)
    np.testing.assert_allclose(curve(np.array([2.0, -5.0])), [2.0, -2.1 - 2 * 0.4], atol=1e-9)
    assert fit_curve(x[:2], x[:2]) is None


def test_the_table_has_the_smallest_error_first_and_a_theory_that_fails_last():
    made = list(rows(lambda method, x: 0.5 * x))
    wrong = {"theory": "proximal", "predicted_shift": (np.inf, 0.1)}
    failed = [Row(**{**vars(row), **wrong}) for row in made[1::2]]
    lines = sizes([*made, *failed])
    names = [row[0] for row in table(lines)]
    assert names == ["theory", "shift (nats)", SHIFT_CURVE, "linearised", "proximal"]
    assert table(lines)[-1][2] == "failed for some networks"
    record = line(lines, theory="proximal", method="sgd", dose=16, group="held_out").record()
    assert record["error"] == record["predicted"] == "inf" and record["error_low"] is None
