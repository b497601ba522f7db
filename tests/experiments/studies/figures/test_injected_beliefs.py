"""The figures of shared concepts and of injected beliefs: panels by what was measured."""

import pytest

from experiments.scoring.alphabets import CARRIED, STEERING, TRANSFER
from experiments.scoring.injection import FINETUNED, INJECTED, SAID_OVER_DONE
from experiments.scoring.intervals import Estimate
from experiments.scoring.measure_line import MeasureLine
from experiments.studies.figures import injected_beliefs, shared_concepts


def line(test, measure, group="", method="", bayes=None, value=1.0, depth=1):
    estimate = Estimate(value, 0.1, (value - 0.2, value + 0.2))
    return MeasureLine(test, measure, estimate, 4, group, method, 8 if method else 0, depth, bayes)


INJECTION = [
    line(INJECTED, "said", "last answer", bayes=1.0, value=0.3),
    line(INJECTED, "done", "last answer", bayes=1.0),
    line(INJECTED, SAID_OVER_DONE, "last answer", bayes=1.0, value=0.3),
    line(FINETUNED, SAID_OVER_DONE, method="sgd", bayes=1.0),
]
CONCEPTS = [
    line(TRANSFER, "τ up to a constant: streams", "together"),
    line(STEERING, "nats for a nat of another alphabet", "together", bayes=1.0, value=0.2),
    line(CARRIED, "carried", "together", "sgd", 1.0),
    line(CARRIED, "S × τ", "together", "sgd"),
]


def test_injection_and_finetuning_have_a_panel_each():
    rows = injected_beliefs.rows_of(INJECTION)
    slopes, *_ = rows["injection"]
    assert [value.value for value in slopes.series[0].values] == [0.3, 1.0] and not slopes.series[1].values
    assert [panel.bayes for panel in rows["said / done"]] == [1.0, 1.0]
    assert injected_beliefs.figure(INJECTION) is not None


def test_a_world_has_transfer_steering_and_carry_over():
    read, steered, carried = shared_concepts.panels(CONCEPTS)
    assert read.series[0].at == [1] and steered.ticks == ["another alphabet"]
    assert [series.label for series in carried.series] == ["SGD", "_"]
    assert shared_concepts.figure(CONCEPTS) is not None


@pytest.mark.parametrize(
    ("drawing", "name", "lines", "words"),
    [
        (injected_beliefs, "injection", INJECTION, f"{INJECTED} 2 of 3; {FINETUNED} 0 of 1"),
        (shared_concepts, "concept", CONCEPTS, f"{STEERING} 1 of 1; {CARRIED} 0 of 1"),
    ],
)
def test_findings_count_what_is_refuted(monkeypatch, drawing, name, lines, words):
    source = "injection_lines" if name == "injection" else "alphabet_lines"
    findings = getattr(drawing, f"{name}_findings")
    monkeypatch.setattr(drawing, source, lambda run: lines)
    assert words in findings(None).sentences[0] and len(findings(None).table) == 1 + len(lines)
    monkeypatch.setattr(drawing, source, lambda run: [])
    assert findings(None).sentences == ("Nothing is measured yet.",)
