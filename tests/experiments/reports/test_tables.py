"""The table of a ladder says what the scorecard says, dose by dose."""

from dataclasses import replace

import pytest

from experiments.reports import tables as ladders
from experiments.scoring import leaderboard as compare
from experiments.storage.records import Row
from experiments.storage.run_folder import create

GROUPS, DOSES = ("in_domain", "held_out"), {1: 0.1, 4: 0.2}
SCORES = {  # (theory, grade): explained at dose 1 and at dose 4; None: says nothing there
    ("unchanged", "forecast"): (0.0, 0.0),
    ("worse", "forecast"): (0.5, None),
    ("better", "forecast"): (0.9, 0.8),
    ("fits", "fitted"): (0.97, 0.96),
    ("last-dose", "fitted"): (None, 0.3),
}


@pytest.fixture
def column(tmp_path):
    """One method on one D', of two base networks whose scores lie 0.02 apart on both of two seeds."""
    results = create(tmp_path / "run", {"study": "made-up", "preset": "tiny", "config": {}}, {})
    rows = []
    for (theory, grade), scores in SCORES.items():
        for (dose, shift), score in zip(DOSES.items(), scores, strict=True):
            for base, group in [(0, name) for name in GROUPS] + [(1, name) for name in GROUPS]:
                if score is not None:
                    missed = 1 - score - 0.02 * (base - 0.5) * (theory != "unchanged")
                    names = ("made-up", "sgd", "all", base, dose, theory, "network", grade, None, group, None)
                    converged = (False,) * 2 if theory == "fits" else None
                    numbers = [(value,) * 2 for value in (shift * missed, shift, 0.001, shift, 0.0)]
                    rows.append(Row(*names, *numbers, converged))
    results.save_rows(rows)
    return compare.read((str(results.folder),))[1][0]


def test_every_dose_and_theory_has_its_cell(column):
    assert ladders.table(column) == [
        ["theory", "grade", "dose 1", "dose 4"],
        ["reached", "", "50.0 %", "100.0 %"],
        ["shift (nats)", "", "0.10000", "0.20000"],
        ["best null", "", "0.000", "0.000"],
        ["last dose, scaled", "", "-", "0.300"],
        ["order-blind bound", "", "1 − 0.005", "1 − 0.0025"],
        ["better", "forecast", "0.900 [0.773, 1]", "0.800 [0.673, 0.927]"],
        ["worse", "forecast", "0.500 [0.373, 0.627]", ""],
        ["fits", "fitted", "0.970 [0.843, 1]*", "0.960 [0.833, 1]*"],
    ]


def test_what_is_below_its_noise_is_undefined(column):
    hidden = [replace(line, explained=None) if line.dose == 1 else line for line in column.lines]
    rows = ladders.table(replace(column, lines=tuple(hidden)))
    assert [row[2] for row in rows[6:]] == ["–", "–", "–"]


def test_the_file_has_a_table_for_each_column(column, tmp_path):
    text = ladders.write([column, replace(column, run="again")], tmp_path).read_text(encoding="utf-8")
    assert text.count("\n## ") == 2 and "## again, SGD, D′ on all (held_out)" in text
    assert text.count("| better | forecast |") == 2


def test_a_notebook_has_theories_by_doses(column):
    head, *rows = ladders.dose_table(column.lines)
    assert head == ["theory", "grade", "dose 1", "dose 4"]
    assert [row[0] for row in rows] == [
        "shift (nats)",
        "best null",
        "last dose, scaled",
        "order-blind bound",
        "better",
        "worse",
        "fits",
    ]
    assert rows[0] == ["shift (nats)", "", "0.10000", "0.20000"]
    assert rows[3] == ["order-blind bound", "", "1 − 0.005", "1 − 0.0025"]
    better = ["0.900 [0.773, 1] (≤ 1.000)", "0.800 [0.673, 0.927] (≤ 1.000)"]
    assert rows[4] == ["better", "forecast", *better] and rows[5][-1] == ""
    several = [*column.lines, *(replace(line, method="adam") for line in column.lines)]
    head, *rows = ladders.dose_table(several, "held_out")
    assert head[0] == "method, D′" and [row[0] for row in rows[::7]] == ["SGD, D′ on all", "Adam, D′ on all"]
