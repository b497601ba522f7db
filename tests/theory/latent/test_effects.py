"""The common share against planted analyses of variance, and projections against changes made by hand."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.latent.effects import alike, common_share, effects, projected_share
from theory.processes.persona_topics import PersonaTopics


def table(**options):
    """Answers (k, c, a) of personas to the topics that are not neutral."""
    process = PersonaTopics(**options)
    return process.answer_table()[:, : process.topics - process.neutral_topics]


def test_a_manner_that_shows_on_every_topic_alike_is_all_common():
    assert common_share(table(specific=0.0)) == pytest.approx(1, abs=1e-12)


def test_the_share_is_that_of_the_knobs_without_bias_even_for_three_topics():
    """An average over 4000 personas, which has the bias 1/3 of the interaction without the correction."""
    for style, specific in ((1.5, 1.0), (0.0, 1.0), (1.0, 2.0)):
        many = table(personas=4000, rarity=1.0, topics=4, style=style, specific=specific)
        assert common_share(many) == pytest.approx(style**2 / (style**2 + specific**2), abs=0.02)


def test_two_contexts_have_the_cosine_and_opposite_ones_minus_one():
    effect = np.array([[[1.0, -1.0]], [[-1.0, 1.0]]])
    assert alike(np.concatenate([effect, effect], axis=1)) == pytest.approx(1)
    assert alike(np.concatenate([effect, -effect], axis=1)) == pytest.approx(-1)
    assert np.isnan(alike(effect)) and np.isnan(alike(np.zeros((2, 3, 2))))


def test_effects_are_those_of_odds_and_add_to_nothing_in_the_mean_of_the_weights():
    log_probs, weights = table(), np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    found = effects(log_probs, weights)
    assert np.abs(np.tensordot(weights, found, axes=1)).max() < 1e-12
    assert np.abs(found.sum(axis=-1)).max() < 1e-12
    shifted = log_probs + np.random.default_rng(0).normal(size=(1, *log_probs.shape[1:2], 1))
    assert effects(shifted, weights) == pytest.approx(found)  # a normaliser is no effect
    odds = (log_probs[1] - log_probs[0])[:, 1:] - (log_probs[1] - log_probs[0])[:, :1]
    assert (found[1] - found[0])[:, 1:] - (found[1] - found[0])[:, :1] == pytest.approx(odds)


def test_answers_that_are_ruled_out_everywhere_are_none():
    """Words of other topics: the effects are those of a topic's own words, and have nothing in common."""
    own = table(topics=3)  # two topics that are not neutral
    apart = np.full((5, 2, 8), -np.inf)
    apart[:, 0, :4], apart[:, 1, 4:] = own[:, 0], own[:, 1]
    assert effects(apart)[:, 0, :4] == pytest.approx(effects(own)[:, 0])
    assert np.abs(effects(apart)[:, 0, 4:]).max() == 0 and common_share(apart) == 0


def test_a_change_of_weights_is_in_the_span_of_the_hypotheses_and_a_normaliser_is_nothing():
    log_probs = table()
    prior = np.full(5, 0.2)
    base = np.log(np.einsum("k,kca->ca", prior, np.exp(log_probs)))
    directions = np.exp(log_probs - base)  # ∂ log p / ∂ w_z
    shift = np.array([0.5, -0.2, -0.2, -0.2, 0.1])
    change = np.einsum("k,kca->ca", shift, directions)
    assert projected_share(change + np.arange(6.0)[:, None], directions, base) == pytest.approx(1)
    assert projected_share(change, directions[:1], base) < 0.99
    stacked = projected_share(np.stack([change, 0 * change]), directions, base)
    assert stacked[0] == pytest.approx(1) and np.isnan(stacked[1])


def test_a_change_at_a_right_angle_is_not_reached():
    base = np.log(np.full((2, 2), 0.5))
    first = np.array([[[1.0, -1.0], [0.0, 0.0]]])
    second = np.array([[0.0, 0.0], [1.0, -1.0]])
    assert projected_share(second, first, base) == pytest.approx(0)
    assert projected_share(first[0] + second, first, base) == pytest.approx(0.5)


def test_weights_that_are_none_are_refused():
    with pytest.raises(Misuse, match="2 weights of hypotheses"):
        common_share(np.zeros((2, 3, 2)), np.array([1.0, -1.0]))
    with pytest.raises(Misuse, match="2 weights of hypotheses"):
        common_share(np.zeros((2, 3, 2)), np.zeros(2))
