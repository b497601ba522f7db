"""The noise of an order as predicted, beside that of replicas: rows, lines, words and figure."""

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.comparison import PREDICTED, _shift
from experiments.reports.sentences import cells, findings
from experiments.scoring.rows import rows
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import ORDER_NOISE, ReplayCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Row

GROUPS = np.array(["in_domain", "held_out", "held_out"])
DOSES = (1, 8)


def log(first):
    return np.log(np.stack([first, 1 - np.asarray(first)], axis=-1))


def run_of(make, predicted):
    """Two base networks with two D' each, whose replicas and their prediction (s, d, c) are known."""
    base, cells = log(np.full(3, 0.5)), {}
    for index in range(2):
        tuned = np.broadcast_to(log(np.full((2, 3), 0.8)), (2, 2, 3, 2))
        replica = np.broadcast_to(log(np.full((2, 3), 0.75)), tuned.shape)
        cells[Cell("theories", "arm", index)] = make.theories(make.contexts(base, GROUPS))
        cells[Cell("finetuned", "arm", index, "sgd")] = make.finetuned(tuned, replica)
        if predicted is not None:
            measures = {ORDER_NOISE: predicted * (1 + index)}
            cells[Cell("replays", "arm", index, "sgd")] = ReplayCell({}, measures=measures)
    return MemoryRun("made-up", DOSES, cells)


PREDICTION = np.array([[[9.0, 1.0, 3.0], [9.0, 2.0, 6.0]]] * 2) / 100
MEASURED = 0.8 * np.log(0.8 / 0.75) + 0.2 * np.log(0.2 / 0.25)


def test_prediction_and_measurement_stand_in_every_line_of_a_panel(make):
    table = rows(run_of(make, PREDICTION))
    assert {row.theory for row in table if row.predicted_noise} == {"unchanged"}
    assert [Row.from_json(row.to_json()) for row in table] == table
    held = [line for line in scorecard(table) if line.group == "held_out"]
    for line in held:
        np.testing.assert_allclose(line.predicted_noise, {1: 0.03, 8: 0.06}[line.dose], rtol=1e-6)
        np.testing.assert_allclose(line.noise, MEASURED, rtol=1e-5)
    sentences = " ".join(findings(scorecard(table))["SGD, D′ on arm"])
    assert f"Dose 8: two orders of one D′ are {MEASURED:.5f} nats apart, 0.06000 as predicted" in sentences
    head, *body = cells(held, everything=True)
    assert {row[head.index("noise")] for row in body if row[head.index("dose")] == "8"} == {
        f"{MEASURED:.5f} (predicted: 0.06000)"
    }


def test_it_is_drawn_beside_the_measured_one(make):
    lines = [line for line in scorecard(rows(run_of(make, PREDICTION))) if line.group == "held_out"]
    axes = Figure().subplots()
    _shift(axes, lines)
    (drawn,) = [line for line in axes.lines if line.get_color() == PREDICTED["color"]]
    np.testing.assert_allclose(drawn.get_ydata(), [0.03, 0.06], rtol=1e-6)


def test_without_the_theory_nothing_is_predicted(make):
    table = rows(run_of(make, None))
    assert all("predicted_noise" not in row.to_json() for row in table)
    lines = scorecard(table)
    assert all(line.predicted_noise is None for line in lines)
    assert "as predicted before" not in str(findings(lines))
