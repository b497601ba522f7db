"""Methods × axioms: what stands in a cell, the sentences, and the table."""

import numpy as np
import pytest

from experiments.scoring.axioms import AXIOMS, AxiomLine
from experiments.scoring.intervals import Estimate
from experiments.studies.figures import axioms as drawing


def line(
    axiom="commutes", share=0.2, noise=0.05, half=0.1, method="sgd", data="arm", group="held_out", **more
):
    estimates = {
        name: Estimate(value, half / 2, (value - half, value + half))
        for name, value in (("share", share), ("excess", share - noise))
    }
    values = {"nats": share / 10, "noise_nats": noise / 10, "shift": 0.1, "fitted": None, "networks": 8}
    return AxiomLine(
        method=method, data=data, axiom=axiom, group=group, noise=noise, **estimates, **(values | more)
    )


LINES = [
    line(),
    line(method="adam", share=0.12, half=0.2),
    line(method="lora", group="in_domain", share=5.0),
    line("filter", group="all", share=0.03, noise=0.0, half=0.01, fitted=0.8),
    line("context", group="held_out", share=np.nan, data="other"),
]


@pytest.fixture
def measured(monkeypatch):
    def use(lines):
        monkeypatch.setattr(drawing, "axiom_lines", lambda run: lines)
        return drawing.axiom_findings(None)

    return use


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_figure_shows_what_is_judged():
    figure = drawing.figure(LINES)
    words = texts(figure)
    assert words.count("commutes") == 2 and "exchangeable" not in words  # a column for each world
    assert {"0.20", "± 0.10", "∼ 0.05", "0.12", "0.03"} <= {*words} and "5.00" not in words
    assert "lora" not in words and words.index("SGD") < words.index("Adam")
    # the first and the filter are above their noise by their whole interval; one dot stands in the key
    assert len([marks for marks in figure.axes[0].lines if marks.get_marker() == "o"]) == 1 + 2


def test_the_table_and_the_sentences_agree_with_the_figure(measured):
    findings = measured(LINES)
    assert findings.table[0] == ("D′", "method", *(axiom.name for axiom in AXIOMS))
    row = dict(zip(findings.table[0], findings.table[1], strict=True))
    assert row["method"] == "SGD" and row["commutes"] == "0.20* [0.10, 0.30], noise 0.05"
    assert row["filter"] == "0.03* [0.02, 0.04], noise 0; K(s)/K(0) 0.800" and row["additive"] == "–"
    assert findings.sentences[0] == (
        "In units of the shift, over methods and worlds, violated beyond the noise: commutes in 1 of 2 "
        "(0.20); filter in 1 of 1 (0.03)."
    )


def test_where_nothing_is_violated_that_is_said(measured):
    sentences = measured([line(share=0.05, half=0.2)]).sentences
    assert sentences == (
        "No violation is above its noise by its whole interval.",
        "Not shown to be violated by any: commutes (at most 0.05).",
    )
    assert measured([]).sentences == ("Nothing is measured yet.",)


@pytest.mark.parametrize(
    "value, words",
    [(0.0, "0"), (2e-5, "2e−5"), (0.0123, "0.012"), (0.5, "0.50"), (31.2, "31"), (np.nan, "–")],
)
def test_shares_have_two_digits(value, words):
    assert drawing.short(value) == words
