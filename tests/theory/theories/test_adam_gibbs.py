"""The posterior in Adam's metric: its zero-temperature limit, and Adam's own first steps."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import Misuse, mean_loss
from theory.mcmc.chains import Plan
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.langevin_posterior import LangevinPosterior
from theory.theories.proximal import Proximal
from theory.weights.diagonal_metrics import adam

QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run


@pytest.mark.slow
def test_the_limit_of_zero_temperature_is_proximal_in_the_same_metric(bigram, data, documents):
    """At γ = 10⁶ the draws wander by 10⁻³; the identity's answer is far off."""
    gamma, key = 1e6, jax.random.key(3)
    sampling = LangevinPosterior(
        prior_precision=gamma, step_size=0.3, plan=Plan(warmup=150, samples=100), chains=4
    )
    theory, beta = AdamGibbs(sampling, batch=4, batches=8), 0.5 * gamma / float(jnp.sum(data.mask))

    @partial(jax.jit, compiler_options=QUICK)
    def answers(bigram):
        metric = theory.metric(bigram, data, jax.random.split(key)[0])
        tight = Proximal(prior_precision=gamma, metric=metric, tolerance=1e-5, iterations=200)
        average = theory.predict(bigram, data, beta, key=key)
        limits = [theory.predict(bigram, data, beta) for theory in (tight, replace(tight, metric=None))]
        return metric, average, [jnp.exp(predictor.predict(documents)) for predictor in (average, *limits)]

    metric, average, (got, wanted, other) = answers(bigram)
    assert average.params.shape == (400, 6, 5)  # the settings of `sampling` are kept
    assert float(metric.max() / metric.min()) > 3
    np.testing.assert_allclose(got, wanted, atol=1e-3)
    assert np.abs(other - wanted).max() > 0.03


def adam_steps(network, data, batches, rate):
    """How far optax's Adam goes."""
    optimizer = optax.adam(rate)

    @partial(jax.jit, compiler_options=QUICK)
    def step(params, state, rows):
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        gradient = jax.grad(lambda params: mean_loss(network.with_params(params), batch))(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    params, state = network.params, optimizer.init(network.params)
    for rows in batches:
        params, state = step(params, state, rows)
    return flat(params) - flat(network.params)


def flat(tree):
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(tree)])


def cosine(left, right):
    return left @ right / np.linalg.norm(left) / np.linalg.norm(right)


@pytest.mark.slow
def test_adams_first_steps_are_gradient_steps_in_the_metric(curved, data):
    """Whole batches: the size of every gradient is divided out, and the floor is what is left."""
    whole, rate, steps = jnp.tile(jnp.arange(8), (3, 1)), 1e-4, 3
    moved = adam_steps(curved, data, whole, rate)
    gradient = flat(
        jax.jit(jax.grad(lambda params: mean_loss(curved.with_params(params), data)))(curved.params)
    )
    seen = np.abs(gradient) > 1e-4  # Adam's own 1e-8 decides nothing there
    assert seen.mean() > 0.5
    alike = []
    for floor in (1.0, 0.1, 1e-3):
        metric = flat(adam(curved, data, whole, floor=floor))
        step = -rate * steps * gradient / metric  # τ = η × steps, nothing fitted
        alike.append(cosine(moved[seen], step[seen]))
    large = np.abs(gradient) > 0.01  # where the last floor is nothing
    np.testing.assert_allclose(step[large], moved[large], rtol=0.05)
    assert cosine(moved[seen], -gradient[seen]) < alike[0] < alike[1] < alike[2]
    assert alike[2] > 0.99


@pytest.mark.slow
def test_adams_first_epochs_on_minibatches_go_the_metrics_way(curved, data):
    """Also with noise in v̂: at τ = η × steps Proximal lands by Adam, and with the identity does not."""
    rng, rate = np.random.default_rng(0), 1e-3
    batches = jnp.asarray(np.concatenate([rng.permutation(8).reshape(4, 2) for _ in range(10)]))
    moved = adam_steps(curved, data, batches, rate)
    tau, count = rate * len(batches), float(jnp.sum(data.mask))
    metric = adam(curved, data, batches, floor=0.1)

    def solve(metric):
        tight = Proximal(metric=metric, tolerance=1e-4, iterations=100)
        moved = jax.jit(lambda prior: tight.predict(prior, data, tau / count).params, compiler_options=QUICK)
        return flat(moved(curved)) - flat(curved.params)

    solution, plain = solve(metric), solve(None)
    assert cosine(moved, solution) > 0.93 > cosine(moved, plain) + 0.05
    assert 0.6 < np.linalg.norm(solution) / np.linalg.norm(moved) < 1.4  # τ is not fitted


def test_the_metric_is_adams_at_the_base_on_batches_of_the_data(bigram, data):
    theory = AdamGibbs(batch=64, batches=5, floor=0.2)  # more than there are documents: eight at a time
    key = jax.random.key(7)
    rows = jax.random.randint(key, (5, 8), 0, 8)
    np.testing.assert_array_equal(theory.metric(bigram, data, key), adam(bigram, data, rows, floor=0.2))
    other = theory.metric(bigram, data, jax.random.key(8))
    assert float(jnp.abs(other / theory.metric(bigram, data, key) - 1).max()) > 0.01


def test_misuse_is_refused(bigram, data):
    with pytest.raises(Misuse, match="needs a key, got None"):
        AdamGibbs().predict(bigram, data, 0.5)
    for name in ("batch", "batches"):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
            AdamGibbs(**{name: 0})
    with pytest.raises(Misuse, match=r"floor must be finite and above 0, got 0\.0"):
        AdamGibbs(floor=0.0).predict(bigram, data, 0.5, key=jax.random.key(0))
