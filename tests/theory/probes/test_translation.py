"""Translation of log-odds: exact on a belief that evidence has moved, and what tempering does."""

import numpy as np
import pytest
from scipy.special import softmax

from theory.errors import Misuse
from theory.probes.codes import fit_log_odds
from theory.probes.translation import Translation, centred, moved_divergences

RANDOM = np.random.default_rng(0)
BEFORE = RANDOM.normal(size=(200, 3))
EVIDENCE = np.array([1.0, -0.5, 0.7])


def test_a_probe_of_a_linear_stream_reads_evidence_as_a_translation():
    mixing = RANDOM.normal(size=(3, 5))
    streams, moved = BEFORE @ mixing, (BEFORE + EVIDENCE) @ mixing
    beliefs = np.exp(BEFORE) / np.exp(BEFORE).sum(axis=-1, keepdims=True)
    probe = fit_log_odds(streams, beliefs, ridge=1e-9)
    found = Translation.of(probe.numbers(streams), probe.numbers(moved))
    assert found.slope == pytest.approx(1, abs=1e-9) and found.spread < 1e-9
    np.testing.assert_allclose(found.shift, centred(EVIDENCE), atol=1e-5)


def test_a_constant_of_a_context_does_not_count():
    found = Translation.of(BEFORE, BEFORE + EVIDENCE + RANDOM.normal(size=(200, 1)))
    assert found.slope == pytest.approx(1) and found.spread < 1e-12
    assert found.size == pytest.approx(np.sqrt(np.mean(centred(EVIDENCE) ** 2)))


def test_a_tempered_belief_has_the_slope_of_its_temperature():
    found = Translation.of(BEFORE, 0.5 * BEFORE + EVIDENCE)
    assert found.slope == pytest.approx(0.5) and found.spread < 1e-12


def test_what_depends_on_the_context_is_spread():
    noise = centred(RANDOM.normal(scale=0.3, size=(100, 3)))
    noise = np.concatenate([noise, -noise])  # two copies of every context: uncorrelated with the belief
    before = np.concatenate([BEFORE[:100]] * 2)
    found = Translation.of(before, before + noise)
    assert found.slope == pytest.approx(1) and found.spread == pytest.approx(np.sqrt(np.mean(noise**2)))


def test_the_belief_that_evidence_moved_is_that_of_its_shift_alone():
    belief = softmax(BEFORE + EVIDENCE, axis=-1)
    none, whole, ruled_out = moved_divergences(
        belief, BEFORE, np.array([[0.0, 0.0, 0.0], EVIDENCE + 3, [0.0, 0.0, -np.inf]])
    )
    before = softmax(BEFORE, axis=-1)
    assert none == pytest.approx(np.mean(np.sum(belief * np.log(belief / before), axis=-1)))
    assert whole == pytest.approx(0, abs=1e-12) and ruled_out == np.inf


def test_other_contexts_are_refused():
    with pytest.raises(Misuse, match="the same contexts"):
        Translation.of(BEFORE, BEFORE[1:])
