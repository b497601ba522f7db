"""Ridge and the discrete mixture against their equations, and against what was published."""

from functools import cache

import numpy as np
import pytest

from theory.latent.regression import discrete_mmse, examples, losses, ridge, ridge_losses


def test_ridge_has_the_loss_that_theory_gives_at_every_number_of_examples():
    random = np.random.default_rng(0)
    wanted = ridge_losses(random, 3000)
    inputs, outputs = examples(random, 8000)
    error = (ridge(inputs, outputs) - outputs) ** 2 / 8
    spread = error.std(axis=0) / np.sqrt(len(error))
    assert (np.abs(error.mean(axis=0) - wanted) < 4 * spread).all()
    np.testing.assert_allclose(wanted[0], 1 + 0.25 / 8)  # nothing is known yet
    np.testing.assert_allclose(np.mean(wanted), 0.376, atol=0.003)
    assert (np.diff(wanted) < 0).all()


def test_predictors_are_their_equations_row_by_row():
    random = np.random.default_rng(1)
    tasks = random.normal(size=(5, 8))
    inputs, outputs = examples(random, 3)
    told, discrete = ridge(inputs, outputs), discrete_mmse(inputs, outputs, tasks)
    for row in range(3):
        for k in range(16):
            x, y = inputs[row, :k], outputs[row, :k]
            w = np.linalg.solve(x.T @ x + 0.25 * np.eye(8), x.T @ y)
            np.testing.assert_allclose(told[row, k], w @ inputs[row, k], atol=1e-10)
            score = np.array([-np.sum((y - x @ task) ** 2) / 0.5 for task in tasks])
            belief = np.exp(score - score.max())
            mean = belief @ tasks / belief.sum()
            np.testing.assert_allclose(discrete[row, k], mean @ inputs[row, k], atol=2e-4)


def test_the_control_variate_moves_no_mean():
    """Plain averages of the same rows agree with the losses, and are less certain."""
    mean, error = losses(np.random.default_rng(3), 256, 100, 10)
    random, plain = np.random.default_rng(3), []
    for _ in range(10):
        tasks = random.normal(size=(256, 8))
        for pool in (None, tasks):
            inputs, outputs = examples(random, 100, pool)
            plain.append(np.mean((discrete_mmse(inputs, outputs, tasks) - outputs) ** 2) / 8)
    each = np.array(plain).reshape(10, 2)
    spread = each.std(axis=0) / np.sqrt(10)
    assert (np.abs(each.mean(axis=0) - mean) < 4 * spread).all()
    assert error[0] < spread[0]


PUBLISHED = [  # M, rows a pool, pools, ours on new tasks and on the M, as in the module's table
    (2, 500, 60, 1.71, 0.07),
    (2**5, 500, 20, 1.01, 0.17),
    (2**10, 200, 5, 0.63, 0.26),
    (2**15, 60, 2, 0.47, 0.32),
]


@cache
def found():
    random = np.random.default_rng(2)
    return [losses(random, count, rows, pools) for count, rows, pools, *_ in PUBLISHED]


@pytest.mark.slow
def test_losses_are_those_of_the_table():
    for (*_, new, known), (mean, error) in zip(PUBLISHED, found(), strict=True):
        assert (np.abs(mean - [new, known]) < 4 * error + 0.005).all()


@pytest.mark.slow
def test_diversity_takes_the_mixture_to_ridge_as_their_figure_2_says():
    """From above on new tasks, from below on the M, and at 2^15 it is still well above."""
    new, known = np.array([mean for mean, _ in found()]).T
    assert (np.diff(new) < 0).all()
    assert (np.diff(known) > 0).all()
    assert (known < 0.376).all()
    assert new[-1] > 0.376 * 1.1
