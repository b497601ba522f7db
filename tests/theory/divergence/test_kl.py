"""Distances between predictions against plain numpy."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from theory.divergence.kl import answers_at, explained, kl, renormalised, total_variation


def distributions(seed, shape):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1])


LEFT, RIGHT = distributions(0, (3, 5, 4)), distributions(1, (3, 5, 4))


def test_kl_against_numpy():
    wanted = np.sum(LEFT * np.log(LEFT / RIGHT), axis=-1)
    np.testing.assert_allclose(kl(jnp.log(LEFT), jnp.log(RIGHT)), wanted, rtol=1e-5, atol=1e-6)


def test_kl_is_zero_only_between_equals_and_not_symmetric():
    p, q = jnp.log(jnp.asarray([0.9, 0.1])), jnp.log(jnp.asarray([0.5, 0.5]))
    assert float(kl(p, p)) == 0
    np.testing.assert_allclose(kl(p, q), 0.9 * np.log(1.8) + 0.1 * np.log(0.2), rtol=1e-5)
    np.testing.assert_allclose(kl(q, p), 0.5 * np.log(5 / 9) + 0.5 * np.log(5), rtol=1e-5)


def test_kl_with_zeros():
    p, q = jnp.log(jnp.asarray([1.0, 0.0])), jnp.log(jnp.asarray([0.25, 0.75]))
    np.testing.assert_allclose(kl(p, q), np.log(4), rtol=1e-6)
    assert float(kl(q, p)) == np.inf
    assert float(kl(p, p)) == 0


def test_total_variation_against_numpy():
    wanted = np.maximum(LEFT - RIGHT, 0).sum(axis=-1)
    np.testing.assert_allclose(total_variation(jnp.log(LEFT), jnp.log(RIGHT)), wanted, rtol=1e-5, atol=1e-6)
    sure = jnp.log(jnp.eye(2))
    assert float(total_variation(sure[0], sure[1])) == 1


def test_explained_is_one_for_the_truth_and_zero_for_no_change():
    finetuned, base = jnp.log(LEFT[0]), jnp.log(RIGHT[0])
    assert float(explained(finetuned, finetuned, base)) == 1
    assert float(explained(finetuned, base, base)) == 0


def test_explained_is_negative_for_the_wrong_way():
    finetuned, base = jnp.log(jnp.asarray([[0.7, 0.3]])), jnp.log(jnp.asarray([[0.5, 0.5]]))
    wrong = jnp.log(jnp.asarray([[0.2, 0.8]]))
    far = 0.7 * np.log(0.7 / 0.2) + 0.3 * np.log(0.3 / 0.8)
    near = 0.7 * np.log(0.7 / 0.5) + 0.3 * np.log(0.3 / 0.5)
    np.testing.assert_allclose(explained(finetuned, wrong, base), 1 - far / near, rtol=1e-5)
    assert far > near


def test_explained_is_a_ratio_of_means_not_a_mean_of_ratios():
    finetuned = np.array([[0.9, 0.1], [0.5, 0.5]])
    theory = np.array([[0.8, 0.2], [0.45, 0.55]])
    base = np.array([[0.5, 0.5], [0.4, 0.6]])

    def rows(right):
        return np.sum(finetuned * np.log(finetuned / right), axis=-1)

    got = explained(*(jnp.log(jnp.asarray(each)) for each in (finetuned, theory, base)))
    np.testing.assert_allclose(got, 1 - rows(theory).mean() / rows(base).mean(), rtol=1e-5)
    assert abs(float(got) - np.mean(1 - rows(theory) / rows(base))) > 0.05


@dataclass(frozen=True)
class Fixed:
    """Says the given log-probabilities whatever the tokens."""

    log_probs: np.ndarray

    def predict(self, tokens):
        return jnp.asarray(self.log_probs)


def test_a_network_that_is_not_finite_is_not_taken_for_one_without_an_answer():
    rows = jnp.array([[0.0, -jnp.inf], [-jnp.inf, -jnp.inf], [jnp.nan, 0.0], [jnp.nan, jnp.nan]])
    got = np.asarray(renormalised(rows))
    np.testing.assert_allclose(got[:2], [[0.0, -np.inf], [np.log(0.5)] * 2], rtol=1e-6)
    assert np.isnan(got[2:]).all()


@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 4), slice(0, 4)])
def test_answers_are_renormalised_over_their_slice(part):
    got = answers_at(Fixed(np.log(LEFT)), jnp.zeros((3, 5), int), part)
    wanted = LEFT[..., part] / LEFT[..., part].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(got), wanted, rtol=1e-5)
