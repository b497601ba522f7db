"""Replay against gradients of its two losses, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.finetuning.method import ExtraData
from models.finetuning.replay import Replay
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Misuse


def leaves_close(left, right, **tolerance):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_all_of_the_same_documents_is_plain_descent(network, data, batches, run):
    again = jax.tree.map(lambda leaf: leaf[batches], data)
    got, losses = run(network, data, batches, Replay(1.0, Sgd(0.1)), [2, 8], ExtraData(again))
    wanted, plain = run(network, data, batches, Sgd(0.1), [2, 8])
    leaves_close(got, wanted, atol=1e-6)
    np.testing.assert_allclose(losses, plain, rtol=1e-6)


def test_none_of_it_is_plain_descent(network, data, batches, run, others):
    got, _ = run(network, data, batches, Replay(0.0, Sgd(0.1)), [8], ExtraData(others))
    leaves_close(got, run(network, data, batches, Sgd(0.1), [8])[0], atol=1e-6)


def test_each_step_goes_down_both_losses_in_their_shares(network, data, batches, run, descent, others):
    """w ← w - η ((1 - ρ) ∇ℓ(batch) + ρ ∇ℓ(what this very step replays))."""
    kept, losses = run(network, data, batches, Replay(0.3, Sgd(0.1)), [1, 2], ExtraData(others))
    params = network.params
    for step in range(2):
        narrow, slope = descent(params, batches[step])
        broad, pull = descent(params, jax.tree.map(lambda leaf: leaf[step], others))  # noqa: B023
        np.testing.assert_allclose(losses[step], 0.7 * narrow + 0.3 * broad, rtol=1e-5)
        params = jax.tree.map(lambda leaf, a, b: leaf - 0.1 * (0.7 * a + 0.3 * b), params, slope, pull)
        leaves_close(jax.tree.map(lambda leaf: leaf[step], kept), params, atol=1e-6)  # noqa: B023
    assert abs(narrow - broad) > 1e-3


def test_documents_that_are_missing_are_refused(network, data, batches, run):
    with pytest.raises(Misuse, match=r"Replay needs a replay, got none; .*ExtraData\(replay=\.\.\.\)"):
        run(network, data, batches, Replay(), [1])


@pytest.mark.parametrize("shape", [(7, 3, 4), (8, 3, 5), (8, 4)])
def test_documents_of_another_shape_are_refused(network, data, batches, run, shape):
    replay = Dataset(jnp.zeros(shape, int), jnp.ones(shape, bool))
    with pytest.raises(
        Misuse, match=rf"at least 8 steps, m, 4 tokens\), got \({', '.join(map(str, shape))}\)"
    ):
        run(network, data, batches, Replay(), [1], ExtraData(replay))


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(Misuse, match=f"share must be at least 0 and at most 1, got {share}"):
        Replay(share)
