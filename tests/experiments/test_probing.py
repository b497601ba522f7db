"""The result of a probe in a notebook: its table and figure, and a sentence for each mistake."""

from dataclasses import replace

import numpy as np
import pytest

import finebayes as fb
from models.network import build, first
from models.probing import contexts
from models.transformer import Architecture

PAGES = fb.processes.LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
NETWORK = first(build(Architecture(width=8, layers=1, heads=2), PAGES.vocabulary, PAGES.length, [0]))


@pytest.fixture(scope="module")
def result():
    with pytest.MonkeyPatch.context() as patch:
        for name, count in {"DOCUMENTS": 48, "JUDGED": 16, "STEERED": 16}.items():
            patch.setattr(contexts, name, count)
        yield fb.probe(NETWORK, PAGES, "newline within 2")


def test_a_result_shows_every_depth_and_baseline(result):
    lines = result.records()
    assert [line["probe"] for line in lines] == ["depth 0", "depth 1", *result.baselines]
    for found, line in zip(result.depths, lines, strict=False):
        assert line["excess"] == found.reading.excess and line["steering"] == found.steering.change
        assert line["ceiling"] == found.reading.ceiling > line["auc"]
    assert lines[-1]["steering"] is None
    table = result.table()
    assert len(table.rows) == 6 and f"{result.best.reading.excess:.4f}" in str(table)
    assert "the description alone" in table.note and "<table" in result._repr_html_()
    assert f"best at depth {result.best.depth}" in repr(result)
    assert len(result.frame()) == 5


def test_a_score_is_shown_where_about_a_nat_comes_out(result):
    shown = [row[-1] for row in result.table().rows[1:3]]
    assert [bool(text) for text in shown] == [0.5 < found.matched.change < 2 for found in result.depths]


def test_steering_beyond_the_streams_is_one_sentence_with_the_share(result):
    far = replace(result.depths[1], beyond=0.37, nats=6.5)
    near = replace(result.depths[0], beyond=0.01)
    told = replace(result, probe=replace(result.probe, depths=(near, far))).table().note
    assert told.count("beyond the span") == 1 and "37% of streams at depth 1 (by 6.5 nats)" in told
    assert "depth 0 (by" not in told and "\n" not in told


def test_the_figure_has_what_the_records_have(result):
    calibration, losses, steering = result.figure().axes
    np.testing.assert_array_equal(calibration.lines[1].get_ydata(), result.exact)
    widths = [bar.get_width() for bar in losses.patches]
    assert widths[:-1] == [line["excess"] for line in result.records()]
    assert [text.get_text() for text in steering.get_legend().get_texts()] == ["depth 0", "depth 1"]


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: fb.probe(NETWORK, PAGES, "newlin within 2"), "'newlin' at character 1 .* mean 'newline'"),
        (lambda: fb.probe(NETWORK, PAGES, "newline within 6"), "is 6 tokens, and a document has 5"),
        (lambda: fb.probe(NETWORK, PAGES, "* next"), "is always true; there is nothing to predict"),
        (lambda: fb.probe(NETWORK, PAGES, "at least 3 1 within 2"), "is never true; there is nothing"),
        (lambda: fb.probe(PAGES, PAGES, "newline next"), "what pretrain, finetune or edited give, got Line"),
        (lambda: fb.probe(NETWORK, NETWORK, "newline next"), "process"),
        (lambda: fb.probe(NETWORK, PAGES, "newline next", seed=-1), "seed"),
        (
            lambda: fb.probe(NETWORK, fb.processes.LineBreak(), "newline next"),
            "reads 5 tokens, and documents .* have 20",
        ),
        (lambda: fb.probe(NETWORK, PAGES, lambda tokens: tokens[:, 0] == 2), "needs a horizon"),
    ],
)
def test_a_mistake_is_one_sentence(call, sentence):
    with pytest.raises(fb.Misuse, match=sentence):
        call()
