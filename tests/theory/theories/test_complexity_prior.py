"""Weights of simple and long predictors against the formula in numpy, and against the tempered posterior."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import example as topics
from theory.processes.presidents import Presidents
from theory.processes.urns import Urns
from theory.theories.complexity_prior import ComplexityPrior, variants
from theory.theories.tempered_posterior import TemperedPosterior

LENGTHS = (2.0, 3.0, 9.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coin:
    """Independent tokens."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, 2))


HEADS = np.array([0.5, 0.4, 0.9])
WEIGHTS = np.array([0.2, 0.7, 0.1])
COINS = Mixture(
    Coin(jnp.log(jnp.asarray(np.stack([1 - HEADS, HEADS], axis=-1)))), jnp.log(jnp.asarray(WEIGHTS))
)
TOKENS = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
DATA = Dataset(jnp.asarray(TOKENS), jnp.asarray(MASK))
COUNTED, LIKELIHOOD = 8, 6 * np.log(HEADS) + 2 * np.log(1 - HEADS)


def weights(theory, beta, data=DATA):
    return np.exp(np.asarray(theory.predict(COINS, data, beta).log_weights, float))


def normalised(log_weights):
    value = np.exp(log_weights - log_weights.max())
    return value / value.sum()


@pytest.mark.parametrize(("b", "scale", "alpha"), [(1.0, 1.0, 0.0), (0.6, 2.0, 0.4), (1.3, 0.1, 0.9)])
@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_weights_are_those_of_the_formula(b, scale, alpha, beta):
    loss = -LIKELIHOOD / COUNTED
    wanted = -(np.array(LENGTHS) ** b) * np.log(2) - beta * scale * COUNTED ** (1 - alpha) * loss
    got = weights(ComplexityPrior(LENGTHS, b, scale, alpha), beta)
    np.testing.assert_allclose(got, normalised(wanted), rtol=2e-5)


def test_a_bit_more_halves_the_weight():
    np.testing.assert_allclose(
        weights(ComplexityPrior((0.0, 1.0, 3.0)), 0.0), np.array([8, 4, 1]) / 13, rtol=1e-5
    )


@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_lengths_in_the_code_of_the_prior_and_plain_evidence_are_the_tempered_posterior(beta):
    wanted = np.exp(TemperedPosterior().predict(COINS, DATA, beta).log_weights)
    np.testing.assert_allclose(weights(ComplexityPrior(), beta), wanted, rtol=1e-5)
    theory = ComplexityPrior(tuple((-np.log2(WEIGHTS)).tolist()))
    np.testing.assert_allclose(weights(theory, beta), wanted, rtol=1e-5)
    assert np.abs(weights(ComplexityPrior(exponent=0.5), beta) - wanted).max() > 0.02


def test_twice_the_data_tell_less_than_twice_as_much():
    """Log-odds beside those at β = 0 grow by 2^(1-α)."""
    theory = ComplexityPrior(LENGTHS, alpha=0.3)
    twice = Dataset(jnp.concatenate([DATA.tokens] * 2), jnp.concatenate([DATA.mask] * 2))
    none, once, more = (
        np.diff(np.log(weights(theory, beta, data)))
        for beta, data in ((0.0, DATA), (0.5, DATA), (0.5, twice))
    )
    np.testing.assert_allclose((more - none) / (once - none), 2**0.7, rtol=1e-4)


def test_the_law_of_pretraining_counts_visits_as_data():
    """γ (visits × N)^(1-α): three visits of each document are three copies of D'."""
    theory = ComplexityPrior(LENGTHS, scale=0.8, alpha=0.3)
    copies = Dataset(jnp.concatenate([DATA.tokens] * 3), jnp.concatenate([DATA.mask] * 3))
    np.testing.assert_allclose(
        weights(theory, theory.strength_after(3.0)), weights(theory, 1.0, copies), rtol=1e-5
    )


def test_the_simple_predictor_gives_way_where_the_evidence_outweighs_the_bits():
    theory = ComplexityPrior((1.0, 8.0, 4.0), exponent=0.5, scale=2.0, alpha=0.2)
    # between the first and the last: (√4 - √1) ln 2 = β γ N^(1-α) (L_0 - L_2)
    rate = 2.0 * COUNTED**0.8 * (LIKELIHOOD[2] - LIKELIHOOD[0]) / COUNTED
    crossing = np.log(2) / rate
    before, after = (weights(theory, factor * crossing) for factor in (0.9, 1.1))
    assert before[0] > before[2] and after[0] < after[2]
    np.testing.assert_allclose(*weights(theory, crossing)[[0, 2]], rtol=1e-5)


def test_data_without_counted_positions_and_impossible_data():
    none = Dataset(DATA.tokens, jnp.zeros_like(DATA.mask))
    theory = ComplexityPrior(LENGTHS, alpha=0.5)
    np.testing.assert_allclose(weights(theory, 2.0, none), weights(theory, 0.0), rtol=1e-6)
    certain = Mixture(Coin(jnp.log(jnp.asarray([[0.5, 0.5], [1.0, 0.0]]))), jnp.zeros(2))
    for beta, wanted in ((0.0, [0.5, 0.5]), (0.5, [1.0, 0.0])):
        after = ComplexityPrior((3.0, 3.0)).predict(certain, DATA, beta)
        np.testing.assert_allclose(np.exp(after.log_weights), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"description_lengths": (1.0, -2.0)}, "-2.0"),
        ({"description_lengths": (1.0, np.inf)}, "inf"),
        ({"exponent": 0.0}, "exponent .* got 0.0"),
        ({"scale": np.nan}, "scale .* got nan"),
        ({"alpha": 1.0}, "alpha .* got 1.0"),
        ({"alpha": -0.1}, "alpha .* got -0.1"),
        ({"predictors": (0, 2)}, "without a gap, got .0, 2."),
        ({"predictors": ()}, "without a gap"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(Misuse, match=words):
        ComplexityPrior(**settings)


def test_lengths_must_be_as_many_as_predictors():
    with pytest.raises(Misuse, match="Each of the 3 predictors needs a description length, got 2"):
        ComplexityPrior((1.0, 2.0)).predict(COINS, DATA, 0.1)


def test_every_component_needs_its_predictor():
    with pytest.raises(Misuse, match="Each of the 3 components needs its predictor, got 2"):
        ComplexityPrior(predictors=(0, 1)).predict(COINS, DATA, 0.1)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_predictors_that_are_mixtures_leave_open_which_part_a_document_is_from(beta):
    """Coins 0 and 2 are one predictor: each document is of either, in the shares of the prior."""
    heads = np.sum(TOKENS * MASK, axis=1)
    log_likelihoods = heads[:, None] * np.log(HEADS) + (MASK.sum(axis=1) - heads)[:, None] * np.log(
        1 - HEADS
    )  # (n, k)
    share = WEIGHTS[[0, 2]] / 0.3
    mixed = np.sum(np.log(np.exp(log_likelihoods[:, [0, 2]]) @ share))
    evidence = np.array([mixed, log_likelihoods[:, 1].sum()])
    wanted = normalised(-(np.array([4.0, 1.0]) ** 0.8) * np.log(2) + beta * evidence)
    theory = ComplexityPrior((4.0, 1.0), exponent=0.8, predictors=(0, 1, 0))
    got = weights(theory, beta)
    np.testing.assert_allclose(got, [wanted[0] * share[0], wanted[1], wanted[0] * share[1]], rtol=1e-5)
    read = ComplexityPrior(predictors=(0, 1, 0))  # lengths from the weights that the parts have together
    np.testing.assert_allclose(weights(read, 0.0), WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("predictors", [None, (0, 1, 0)])
def test_what_the_prior_rules_out_stays_out(predictors):
    prior = COINS.with_log_weights(jnp.log(jnp.asarray([0.3, 0.0, 0.7])))
    for beta in (0.0, 2.0):
        after = ComplexityPrior(predictors=predictors).predict(prior, DATA, beta)
        assert after.log_weights[1] == -np.inf
        np.testing.assert_allclose(np.exp(after.log_weights).sum(), 1, rtol=1e-5)


def test_it_weighs_the_predictors_that_a_process_names():
    for process, predictors in ((topics(), None), (Urns(urns=2), (0, 0, 1))):
        (theory,) = variants(process).values()
        assert theory.predictors == predictors
        assert theory.description_lengths is None


def test_it_takes_the_description_lengths_that_a_process_names():
    process = Presidents()
    theory = variants(process)["complexity-prior"]
    np.testing.assert_allclose(theory.description_lengths, process.description_lengths())
    assert theory.exponent == 1.0 != process.exponent
    after = theory.predict(process.distribution(), process.narrow(jax.random.key(0), 2, 1, (3, 4, 5, 8)), 0.0)
    bits = -np.asarray(after.log_weights) / np.log(2)
    np.testing.assert_allclose(bits - bits[0], process.description_lengths() - 5, atol=1e-4)
