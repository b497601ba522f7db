"""Differences are paired, over the networks that both have, and a theory that is not there is refused."""

import json

import numpy as np
import pytest

from experiments.reports.differences import differences, table
from theory.errors import Misuse


@pytest.fixture
def lines(make_line):
    """Two theories whose networks differ far more than the theories do, at two doses, and a null."""
    wide = {"half": 0.4}
    return [
        line
        for dose in (4, 16)
        for line in (
            make_line("linearised", 0.9, dose, "forecast", **wide),
            make_line("tempered-posterior", 0.7, dose, prior="implied", **wide),
            make_line("tempered-posterior", 0.6, dose, prior="process", **wide),
            make_line("tempered-posterior", 0.2, dose, "forecast", prior="implied", **wide),
            make_line("answer-bias", 0.1, dose, **wide),
            make_line("linearised", 0.3, dose, "forecast", group="conflict"),
        )
    ]


def test_a_difference_is_of_the_same_networks_and_has_the_narrow_interval(lines):
    found = differences(lines, "tempered-posterior")
    assert [(entry.line.dose, entry.line.theory, entry.line.grade) for entry in found] == [
        (dose, *name)
        for dose in (4, 16)
        for name in (
            ("linearised", "forecast"),
            ("tempered-posterior", "forecast"),
            ("answer-bias", "fitted"),
        )
    ]
    gaps = [entry.gap for entry in found]
    np.testing.assert_allclose([gap.value for gap in gaps[:3]], [0.2, -0.5, -0.6], atol=1e-9)
    low, high = gaps[0].interval
    assert 0.19 < low <= high < 0.21  # their own intervals are ± 0.4 of one spread
    assert gaps[0].above and gaps[2].below
    record = found[0].record()
    assert (record["less"], record["less_low"], record["dose"]) == (gaps[0].value, low, 4)


def test_a_theory_that_fails_is_infinitely_far_and_is_printed(make_line):
    fails = make_line("proximal", -np.inf, half=None)
    known = make_line("linearised", 0.5, half=None)
    (entry,) = differences([fails, known], "linearised")
    assert entry.gap.value == -np.inf and entry.words()[-2:] == ["-∞", ""]
    assert json.loads(json.dumps(entry.record(), allow_nan=False))["less"] == "-inf"


def test_a_prior_behind_the_name_chooses_the_form(lines):
    (first, *_) = differences(lines, "tempered-posterior/process")
    assert first.gap.value == pytest.approx(0.3)
    assert differences(lines, "answer-bias")[0].gap.value == pytest.approx(0.8)


def test_the_table_has_the_judged_group_or_all(lines):
    against_forecast = differences(lines, "linearised")
    header, *rows = table(against_forecast, "linearised")
    assert header[-2] == "less linearised" and {row[3] for row in rows} == {"held_out"}
    assert [row[-1] for row in rows[:3]] == ["below"] * 3
    conflict = [entry for entry in differences(lines, "linearised") if entry.line.group == "conflict"]
    assert not conflict  # nothing else has a score there


def test_a_theory_without_a_score_is_refused_with_the_nearest_name(lines):
    with pytest.raises(Misuse, match=r"did you mean tempered-posterior.*Choose one of answer-bias"):
        differences(lines, "tempered-posteriors")
    with pytest.raises(Misuse, match="No theory 'linearised/implied'"):
        differences(lines, "linearised/implied")
