"""The figure of events: a panel for every horizon, and sentences that count what was stated beforehand."""

import numpy as np

from experiments.scoring.intervals import Estimate
from experiments.scoring.motor import Statement, followed, motor_lines, worlds
from experiments.studies.figures import motor as drawing


def test_a_world_has_a_panel_for_every_event_and_three_rows_more(events):
    run = events.run([events.cell()] * 3)
    drawn = drawing.figure(motor_lines(run), followed(worlds(run)["pages"]))
    titles = [axes.get_title() for axes in drawn.axes]
    assert titles[:2] == ["newline next", "newline within 2"] and len(titles) == 2 + 3 * 3
    assert [text.get_text() for text in drawn.legends[0].get_texts()][-5:] == [
        "description",
        *drawing.BESIDE,
        "no probe",
    ]


def test_findings_say_what_is_refuted(events, monkeypatch):
    stated = [
        Statement("pages", name, "nats", (0.0, np.inf), Estimate(value, 0.1, (value - 0.1, value + 0.1)))
        for name, value in (("policy", 1.0), ("detection", -1.0), ("shift", 0.0))
    ]
    monkeypatch.setattr(drawing, "statements", lambda run: stated)
    findings = drawing.motor_findings(events.run([events.cell()] * 3))
    assert "Of 3 statements made beforehand 1 hold" in findings.sentences[0]
    assert "1 are refuted (detection)" in findings.sentences[0]
    assert findings.table[1][-1] == "holds" and findings.table[2][-2].startswith("at least 0")
