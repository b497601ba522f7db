"""Labels of an event: whose text, and what happened in it; probes under a prior that the labels fix."""

import jax
import numpy as np
import pytest

from models.network import build, first
from models.probing.labels import Labels, Text, Texts, fit_labels, soft_labels
from models.transformer import Architecture
from theory.probes import futures
from theory.probes.descriptions import event
from theory.processes.linebreak import LineBreak

PAGES = LineBreak(widths=(3, 2), lengths=(1, 2), length=6, noise=0.1)
NETWORK = first(build(Architecture(width=8, layers=1, heads=2), PAGES.vocabulary, PAGES.length, [0]))
WITHIN = event("newline within 2", PAGES)
COUNT, LAST = 40, 4


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    return Texts.of(NETWORK, PAGES.distribution(), 1, COUNT, 2, PAGES.length, jax.random.key(0), random)


def test_a_label_is_whether_the_event_came_in_the_two_tokens_after_its_context(texts):
    for regime, text in (
        ("on-policy", texts.written),
        ("off-policy", texts.process),
        ("other writer", texts.other),
    ):
        rows, positions, came = texts.labels(regime, WITHIN)
        assert len(rows) == COUNT and positions.min() >= 1 and positions.max() <= LAST
        assert len({*zip(rows.tolist(), positions.tolist(), strict=True)}) == COUNT
        expected = [
            PAGES.newline in text.tokens[row, at : at + 2].tolist()
            for row, at in zip(rows, positions, strict=True)
        ]
        np.testing.assert_array_equal(came, expected)


def test_detection_looks_back_and_half_is_drawn_by_the_network(texts):
    rows, positions, came = texts.labels("contrastive", WITHIN)
    assert positions.min() == 2  # two tokens have come
    before = [
        PAGES.newline in texts.process.tokens[row, at - 2 : at].tolist()
        for row, at in zip(rows, positions, strict=True)
    ]
    np.testing.assert_array_equal(came, before)
    drawn = texts.labels("half", WITHIN)
    np.testing.assert_array_equal(drawn.targets, WITHIN.holds(texts.drawn))
    np.testing.assert_array_equal(drawn.rows, texts.process.rows)
    many = Text.of(np.repeat(texts.process.tokens[:1], 2000, axis=0), 2000, 1, np.random.default_rng(0))
    came = futures.continued(NETWORK, many.tokens[many.rows], many.positions, 2, np.random.default_rng(1))
    exact = futures.of_predictor(NETWORK, WITHIN, many.tokens[:1], [1])[0, 0]
    assert WITHIN.holds(came).mean() == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2000))


def test_the_other_writer_is_one_hypothesis(texts):
    """No line of a page of width 2 holds three words, but for noise; pages of the process have some."""
    process = PAGES.distribution()
    own, other = (np.asarray(process.posterior(text.tokens)) for text in (texts.process, texts.other))
    assert np.exp(other[:, 1]).mean() > np.exp(own[:, 1]).mean() + 0.2


def test_soft_labels_are_the_networks_own_chances_in_their_contexts(texts):
    labels = soft_labels(NETWORK, texts.written, WITHIN, 12)
    assert labels.rows.tolist() == texts.written.rows[:12].tolist()
    for row, position, target in zip(*labels, strict=True):
        exact = futures.of_predictor(NETWORK, WITHIN, texts.written.tokens[row : row + 1], [int(position)])
        assert target == pytest.approx(exact[0, 0], abs=1e-6)


def test_another_network_has_a_text_of_its_own_and_the_same_of_the_process(texts):
    again = texts.of_network(NETWORK, 2, np.random.default_rng(5))
    assert again.process is texts.process and not np.array_equal(again.written.tokens, texts.written.tokens)
    names = [again.text(regime) for regime in ("soft", "half", "other writer")]
    assert names == [
        "written",
        "process",
        "other",
    ]


@pytest.mark.parametrize("link", ["log-odds", "probability"])
def test_few_labels_of_one_kind_are_no_certainty(link):
    """Without an outcome the probe reads half a label in n + 1, everywhere alike."""
    features = np.random.default_rng(0).normal(size=(32, 3))
    probe = fit_labels(link, features, np.zeros(32))
    np.testing.assert_allclose(probe.predict(features)[:, 1], 0.5 / 33, rtol=1e-6)


def test_more_labels_shrink_less():
    """The filter of n labels is that of a Gaussian prior of one nat: at n = 64 well below the truth."""
    random = np.random.default_rng(0)
    features = random.normal(size=(4096, 1))
    chance = 1 / (1 + np.exp(-2 * features[:, 0]))
    steep = [
        fit_labels("log-odds", features[:n], chance[:n]).filters[0, 1]
        - fit_labels("log-odds", features[:n], chance[:n]).filters[0, 0]
        for n in (16, 4096)
    ]
    assert steep[0] < 1.9 and steep[1] == pytest.approx(2, abs=0.01)
    assert isinstance(Labels(*np.zeros((3, 2))), tuple)
