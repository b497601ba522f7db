"""The figure of the inside: a row for every test that was measured, and sentences that are true."""

import numpy as np

from experiments.figures.panel_rows import TALL, TOP
from experiments.scoring.inside import TESTS, InsideLine
from experiments.scoring.intervals import Estimate
from experiments.storage.inside_cell import FEATURES, VECTORS
from experiments.studies.figures import inside_beliefs as drawing


def line(test, measure, method="", depth=1, value=1.0, interval=(0.8, 1.2)):
    return InsideLine(
        "world", test, measure, method, 8 if method else 0, depth, Estimate(value, 0.1, interval), 4
    )


LINES = [
    line("T1", "slope", "sgd", value=0.5, interval=(0.4, 0.6)),
    *(line("T2", name, "sgd", 0) for name in (*VECTORS, "twin")),
    *(line("T2", f"lost: {vector}", "sgd", 0, 0.0, (-0.1, 0.1)) for vector in VECTORS),
    line("T3", "slope"),
    *(line("T4", f"log-odds: {feature}") for feature in FEATURES),
]


def test_rows_are_the_tests_that_were_measured():
    rows = drawing.rows_of(LINES)
    assert [*rows] == ["T1", "T2", "T3", "T4"]
    assert [len(panel.series) for panel in rows["T4"]] == [1, 1, 0]
    (series,) = rows["T2"][0].series
    assert [value.value for value in series.values] == [1.0] * 4 and rows["T2"][0].bayes == 1
    drawn = drawing.figure(LINES)
    assert np.isclose(drawn.get_figheight(), TOP + 4 * TALL)


def test_findings_count_what_is_refuted(monkeypatch):
    monkeypatch.setattr(drawing, "inside_lines", lambda run: LINES)
    findings = drawing.inside_findings(None)
    assert f"T1 {TESTS['T1']} 1 of 1; T2 {TESTS['T2']} 0 of 3" in findings.sentences[0]
    assert len(findings.table) == 1 + len(LINES)
    monkeypatch.setattr(drawing, "inside_lines", lambda run: [])
    assert drawing.inside_findings(None).sentences == ("Nothing is measured yet.",)
