"""The figure of curves: nine panels, and sentences that are true."""

import numpy as np

from experiments.scoring.curves import CurveLine
from experiments.scoring.intervals import Estimate
from experiments.studies.figures import linebreak_manifold as drawing


def line(test, measure, networks="base", depth=1, value=1.0, bayes=None):
    estimate = Estimate(value, 0.1, (value - 0.2, value + 0.2))
    return CurveLine("narrowest", test, measure, networks, 8 * (networks == "sgd"), depth, estimate, 8, bayes)


LINES = [
    line("M1", "dimension", value=6.0, bayes=(2.0, 3.0)),
    line("M3", "slope: exact", bayes=(1.0, 1.0)),
    line("M6", "bend beyond twin", "sgd", value=-0.5, bayes=(-np.inf, 0.0)),
]


def test_findings_count_what_is_refuted(monkeypatch):
    monkeypatch.setattr(drawing, "curve_lines", lambda run: LINES)
    for later in ("use_lines", "newline_lines"):
        monkeypatch.setattr(drawing, later, lambda run: [])
    findings = drawing.manifold_findings(None)
    assert "Cells lack M8 to M12" in findings.sentences[1]
    assert "Cells lack M13 to M14" in findings.sentences[2]
    assert "M1 dimension 1 of 1; M3 substitution 0 of 1; M6 finetuning 0 of 1" in findings.sentences[0]
    assert [row[-1] for row in findings.table] == ["Bayes", "2.000 to 3.000", "1.000", "≤ 0.000"]
    monkeypatch.setattr(drawing, "curve_lines", lambda run: [])
    assert drawing.manifold_findings(None).sentences == ("Nothing is measured yet.",)
