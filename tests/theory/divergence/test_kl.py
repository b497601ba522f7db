"""Distances between predictions against plain numpy."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset
from theory.divergence.kl import (
    answer_loss,
    answers_at,
    counted_answers,
    explained,
    kl,
    renormalised,
    total_variation,
)


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
    for got in (renormalised(rows), renormalised(jnp.stack([rows, rows]))[1]):
        np.testing.assert_allclose(got[:2], [[0.0, -np.inf], [np.log(0.5)] * 2], rtol=1e-6)
        assert np.isnan(got[2:]).all()


@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 4), slice(0, 4)])
def test_answers_are_renormalised_over_their_slice(part):
    got = answers_at(Fixed(np.log(LEFT)), jnp.zeros((3, 5), int), part)
    wanted = LEFT[..., part] / LEFT[..., part].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(got), wanted, rtol=1e-5)


ANSWERS = slice(2, 5)
DOCUMENTS = Dataset(
    np.array([[0, 2, 4, 5], [3, 1, 4, 2]]), np.array([[True, True, True, True], [True, True, False, True]])
)


def test_answers_count_from_the_first_to_the_last():
    wanted = [[False, True, True, False], [True, False, False, True]]
    np.testing.assert_array_equal(counted_answers(DOCUMENTS, ANSWERS), wanted)


def test_the_loss_is_the_mean_over_counted_answers():
    """Of several networks, and of one; what does not count may even be impossible."""
    log_probs = np.log(distributions(2, (5, 2, 4, 3))).astype(np.float32)
    chosen = [log_probs[:, 0, 1, 0], log_probs[:, 0, 2, 2], log_probs[:, 1, 0, 1], log_probs[:, 1, 3, 0]]
    log_probs[:, 1, 2] = -np.inf
    losses = answer_loss(jnp.asarray(log_probs), DOCUMENTS, ANSWERS)
    np.testing.assert_allclose(losses, -np.mean(chosen, axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        answer_loss(jnp.asarray(log_probs[3]), DOCUMENTS, ANSWERS), losses[3], rtol=1e-6
    )
    nothing = Dataset(DOCUMENTS.tokens, np.zeros((2, 4), bool))
    assert np.isnan(answer_loss(jnp.asarray(log_probs), nothing, ANSWERS)).all()
