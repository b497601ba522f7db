"""Self-distillation goes nowhere: the negative control."""

import jax
import jax.numpy as jnp
import numpy as np

from models.finetuning.adam import Adam
from models.finetuning.method import ExtraData
from models.finetuning.self_distillation import SelfDistillation
from models.finetuning.sgd import Sgd
from theory.theories.linearised import Tangent


def distance(kept, network):
    """The farthest that any weight went, by dose."""
    gaps = jax.tree.map(
        lambda new, old: jnp.abs(new - old).reshape(len(new), -1).max(1), kept, network.params
    )
    return np.max(jax.tree.leaves(gaps), axis=0)


def test_nothing_moves(network, data, batches, run):
    """At a rate at which D' itself moves the weights by more than a tenth."""
    still, losses = run(network, data, batches, SelfDistillation(Sgd(0.3)), [1, 8])
    assert (distance(still, network) < 1e-6).all()
    np.testing.assert_allclose(losses, 0, atol=1e-6)
    moved, _ = run(network, data, batches, Sgd(0.3), [1, 8])
    assert distance(moved, network)[-1] > 0.1


def test_away_from_the_base_it_pulls_back_to_it(table, data):
    """By hand: the slope is q - p_0 in each row, times the share of counted positions."""
    other = table.with_params(table.params[::-1])
    slope = jax.grad(
        lambda params: SelfDistillation().loss(table.with_params(params), table, data, ExtraData())
    )(other.params)
    before = np.pad(np.asarray(data.tokens)[:, :-1], ((0, 0), (1, 0)), constant_values=5)
    share = np.bincount(before[np.asarray(data.mask)], minlength=6)[:, None] / np.asarray(data.mask).sum()
    p, q = (np.exp(jax.nn.log_softmax(model.params)) for model in (table, other))
    np.testing.assert_allclose(slope, share * (q - p), atol=1e-6)
    assert np.abs(slope).max() > 0.01


def test_a_tangent_stays_too(network, data):
    """What the linearised theory replays."""
    still = Tangent(network, jax.tree.map(jnp.zeros_like, network.params))
    loss = lambda params: SelfDistillation().loss(still.with_params(params), still, data, ExtraData())  # noqa: E731
    slope = jax.jit(jax.grad(loss))(still.params)
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(slope)) < 1e-6


def test_a_rule_of_full_steps_moves_by_rounding_errors(network, data, batches, run):
    """Why the rule is SGD: Adam divides the errors by their own size."""
    moved, _ = run(network, data, batches, SelfDistillation(Adam(0.01)), [8])
    assert distance(moved, network)[0] > 1e-3
