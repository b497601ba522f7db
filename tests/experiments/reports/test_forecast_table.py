"""Who forecasts what: medians over the runs of a study, costs as stated, forecasts before fits."""

import pytest

from experiments.reports.forecast_table import forecast_table
from experiments.scoring.leaderboard import column
from theory.base import Cost

COSTS = {"linearised": Cost(gradients=1, per="step"), "spectrum/identity": Cost(gradients=1, products=32)}


@pytest.fixture
def columns(make_line):
    """Three runs of a study: one theory in all of them, one in the first alone, one that fails in a run."""

    def run(score, **more):
        groups, is_null = ("in_domain", "held_out"), {"over_null": None, "over_null_interval": None}
        lines = [make_line("unchanged", 0.0, grade="forecast", group=group, **is_null) for group in groups]
        lines += [make_line("answer-bias", 0.3, **is_null), make_line("last-dose", 0.5)]
        lines += [make_line("linearised", score, grade="forecast")]
        lines += [
            make_line(theory, value, grade="forecast", prior="identity", **changes)
            for theory, (value, changes) in more.items()
        ]
        return column("a run", lines, "sgd", "topics0")

    failed = {"interval": None, "over_null_interval": None, "failed": 1, "half": None}
    return [
        run(0.9, spectrum=(0.6, {}), laplace=(0.7, {})),
        run(0.5, spectrum=(float("-inf"), failed)),
        run(0.31, spectrum=(0.4, {})),
    ]


def test_a_cell_is_the_median_over_runs_and_counts_what_beats_the_nulls(columns):
    head, null, last, *rows = forecast_table(columns, COSTS, {"linearised": 2.04, "spectrum (identity)": 0.5})
    assert head[-1] == "weird-generalisation, SGD (3)"
    assert null[-1] == "0.300" and last[-1] == "0.500; 3 of 3"
    by_name = {row[0]: row for row in rows}
    assert list(by_name) == ["laplace (identity)", "linearised", "spectrum (identity)"]
    laplace, linearised, spectrum = by_name.values()
    assert linearised[1:7] == ["forecast", "1 gradient a step of the finetuning", "2 ×", "yes", "none", "0"]
    assert linearised[7] == "0.500 (0.310 to 0.900); 2 of 3"  # 0.31 is within 0.02 of the null
    assert spectrum[2:5] == ["1 gradient, 32 products", "0.5 ×", "no"]
    assert spectrum[7] == "0.400 (-∞ to 0.600); 2 of 3; failed in 1"
    assert laplace[2:4] == ["not stated", ""] and laplace[7] == "0.700†; 1 of 1"
