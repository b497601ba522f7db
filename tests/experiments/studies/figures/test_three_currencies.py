"""The figure of three currencies: rows by what was measured, and sentences that are true."""

import pytest

from experiments.scoring.currencies import CLOSURE, CONTEXT, INTERACTION, LAYERS, PREVENTION, RATE
from experiments.scoring.intervals import Estimate
from experiments.scoring.measure_line import MeasureLine
from experiments.storage.currencies_cell import QUESTIONS, READ
from experiments.studies.figures import three_currencies as drawing


def line(test, measure, method="", bayes=None, value=1.0, question=QUESTIONS[0], depth=0):
    estimate = Estimate(value, 0.1, (value - 0.2, value + 0.2))
    dose, judged = 8 if method else 0, test != INTERACTION
    return MeasureLine(test, measure, estimate, 4, question, method, dose, depth, bayes, judged)


LINES = [
    line(RATE, "nats of pair 1", bayes=1.8, value=1.8),
    line(RATE, "nats of pair 1", "sgd", 1.8, 0.5),
    line(RATE, "nats of one pair ahead, of 3", bayes=1.8, question=""),
    line(RATE, "nat in the question towards, 0 shown", bayes=1.0),
    line(RATE, "nat in the question towards, 2 shown", bayes=1.0),
    line(RATE, "nat in the question away, 0 shown", bayes=1.0),
    line(INTERACTION, "all", "sgd", 0.0, 0.3),
    line(CLOSURE, "steering of shots / of dose", "sgd", 1.0),
    line(CONTEXT, "K(s)/K(0)", "sgd", 1.0, 0.4),
    line(PREVENTION, "less for a nat in the pairs away", "sgd", 0.0, 0.5),
    line(LAYERS, f"{READ[0]}: streams", question="", depth=1),
]


def test_panels_hold_what_was_measured():
    rows = drawing.rows_of(LINES)
    assert [*rows] == ["rates", "steering", "sums", "prevention,\nlaws, heads", "layers"]
    pair, ahead = rows["rates"]
    assert pair.bayes == ahead.bayes == 1.8 and ahead.ticks == ["3"]
    (series,) = pair.series
    assert [value.value for value in series.values] == [1.8, 0.5] and list(series.at) == [0, 1]
    assert drawing.figure(LINES) is not None


def test_steering_stands_where_so_many_pairs_are_shown_and_prevention_by_its_direction():
    rows = drawing.rows_of(LINES)
    question, _ = rows["steering"]
    assert question.ticks == ["0 shown", "2 shown"]
    assert [list(series.at) for series in question.series if series.values] == [[0, 1], [0]]
    prevented, *_ = rows["prevention,\nlaws, heads"]
    (series,) = [series for series in prevented.series if series.values]
    assert (series.label, series.style, [*series.at]) == ("SGD away", "down", [1])


def test_findings_count_what_is_refuted(monkeypatch):
    monkeypatch.setattr(drawing, "currency_lines", lambda run: LINES)
    findings = drawing.currency_findings(None)
    assert f"{RATE} 2 of 6; {CLOSURE} 0 of 1; {CONTEXT} 1 of 1; {PREVENTION} 1 of 1" in findings.sentences[0]
    assert "SGD 0.300" in findings.sentences[1] and len(findings.table) == 1 + len(LINES)
    monkeypatch.setattr(drawing, "currency_lines", lambda run: [])
    assert drawing.currency_findings(None).sentences == ("Nothing is measured yet.",)


@pytest.mark.parametrize("lines", [LINES[:1]])
def test_where_nothing_is_resolved_a_sentence_says_so(monkeypatch, lines):
    monkeypatch.setattr(drawing, "currency_lines", lambda run: lines)
    assert "Too little is resolved" in drawing.currency_findings(None).sentences[1]
