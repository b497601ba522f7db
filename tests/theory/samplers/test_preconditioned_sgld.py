"""Preconditioned SGLD: its law with a fixed metric, RMSprop's recursion, the cost of adapting for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.errors import Misuse
from theory.samplers.preconditioned_sgld import PreconditionedSGLD

PRECISION = np.array([0.5, 8.0])


def quadratic(z):
    return 0.5 * jnp.sum(jnp.asarray(PRECISION) * z**2)


def test_a_fixed_metric_is_a_step_for_each_coordinate(draw, agree):
    """Not adapted, G comes from the first gradient: variance 1/(p (1 - εGp/2))."""
    step, floor, first = 0.6, 0.5, np.array([1.0, 0.25])
    kernel = PreconditionedSGLD(potential_fn=quadratic, step_size=step, floor=floor, adapt=0)
    start = jnp.broadcast_to(jnp.asarray(first), (500, 2))
    samples = draw(kernel, start, 1000, warmup=60)
    metric = 1 / (floor + PRECISION * first)
    wanted = 1 / (PRECISION * (1 - step * metric * PRECISION / 2))
    agree((samples**2).mean(axis=1), wanted, against=[1 / PRECISION])
    products = (samples[:, 1:] * samples[:, :-1]).mean(axis=1)
    agree(products, wanted * (1 - step * metric * PRECISION))


def test_the_metric_follows_rmsprop_and_then_stays():
    """V against a plain loop over the positions visited; fixed from the end of the warm-up on."""
    kernel = PreconditionedSGLD(potential_fn=quadratic, step_size=0.01, decay=0.9)
    state = kernel.init(jax.random.key(0), 4, jnp.array([1.0, -0.5]))
    wanted, sample = (PRECISION * np.asarray(state.z)) ** 2, jax.jit(kernel.sample)
    for i in range(8):
        np.testing.assert_allclose(state.memory[0][0], wanted, rtol=1e-5)
        if i < 4:
            wanted = 0.9 * wanted + 0.1 * (PRECISION * np.asarray(state.z)) ** 2
        state = sample(state)
    assert int(state.i) == 8


def test_after_warm_up_each_chain_has_the_law_of_its_own_metric(agree):
    """Metrics differ between chains; each chain's second moment is that of its own."""
    step, chains = 0.3, 500
    kernel = PreconditionedSGLD(potential_fn=quadratic, step_size=step, floor=0.5, decay=0.8)

    def chain(key):
        state = kernel.init(key, 40, jnp.array([0.5, 0.5]))

        def move(state, _):
            state = kernel.sample(state)
            return state, (state.z, state.memory[0][0])

        return jax.lax.scan(move, state, length=1100)[1]

    samples, squares = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(1), chains))
    samples, squares = np.asarray(samples, float), np.asarray(squares, float)
    assert (squares[:, 39:] == squares[:, 39:40]).all() and (squares[:, 38] != squares[:, 39]).all()
    metric = 1 / (0.5 + np.sqrt(squares[:, -1]))
    assert metric.std(axis=0).min() > 0.05
    wanted = 1 / (PRECISION * (1 - step * metric * PRECISION / 2))
    agree((samples[:, 100:] ** 2).mean(axis=1) / wanted, 1.0, against=[1 / (PRECISION * wanted).mean(axis=0)])


def test_adapting_for_ever_goes_elsewhere(draw, agree, grid):
    """With ρ = 0 the step depends on the position alone: z ← z - εG ∇U + √(2εG) ξ, G = 1/(δ + |∇U|).

    As ε → 0 its law is exp(-U)/G for want of Γ, of variance (√(2π) + 4)/(√(2π) + 2) for p = δ = 1, not 1.
    """
    step = 0.02

    def mean(x):
        return x - step * x / (1 + np.abs(x))

    x, weights = grid(mean, lambda x: np.sqrt(2 * step / (1 + np.abs(x))), reach=7.0)
    root = np.sqrt(2 * np.pi)
    np.testing.assert_allclose(weights @ x**2, (root + 4) / (root + 2), rtol=0.02)

    def kernel(adapt):
        return PreconditionedSGLD(
            potential_fn=lambda z: 0.5 * z**2, step_size=step, decay=0.0, floor=1.0, adapt=adapt
        )

    start = jnp.ones(1000)
    agree((draw(kernel(-1), start, 2000, warmup=400) ** 2).mean(axis=1), weights @ x**2, against=[1.0])


@pytest.mark.parametrize(("options", "throw"), [({}, 0.2**0.5), ({"floor": 1e-5}, (0.2e5) ** 0.5)])
def test_a_chain_that_starts_at_a_mode_is_thrown_by_the_floor(options, throw, agree):
    kernel = PreconditionedSGLD(potential_fn=quadratic, step_size=0.1, **options)

    def first(key):
        return kernel.sample(kernel.init(key, 10, jnp.zeros(2))).z

    moved = np.asarray(jax.jit(jax.vmap(first))(jax.random.split(jax.random.key(0), 2000)), float)
    agree(moved**2 / throw**2, 1.0)


def test_a_tempered_regression(draw, agree, second, law, regression):
    """Minibatches, and a metric from the whole first gradient: the same for all chains, correlated target."""
    step, floor, first = 0.5, 1.0, np.array([2.0, 1.0])
    pairs = np.array(regression.pairs)

    def move(z, noise, now):
        metric, pair = now
        return z - step * metric * regression.slope(z, pair) + np.sqrt(2 * step * metric) * noise

    kernel = PreconditionedSGLD(
        potential_fn=regression.estimate, whole_potential_fn=regression.whole, step_size=step,
        floor=floor, adapt=0, control_variate=False,
    )  # fmt: skip
    start = jnp.broadcast_to(jnp.asarray(first), (1000, 2))
    samples = draw(kernel, start, 1000, warmup=100)
    # the first gradient is of one pair: chains fall in as many groups, each with its law
    laws = []
    for pair in pairs:
        metric = 1 / (floor + np.abs(regression.slope(first, pair)))
        laws.append(law(move, 2, 2, [(metric, other) for other in regression.pairs]))
    seconds = [covariance for _, covariance in laws]
    np.testing.assert_allclose([mean for mean, _ in laws], np.tile(regression.mean, (len(pairs), 1)))
    agree(samples.mean(axis=1), regression.mean, against=[np.zeros(2)])
    agree(second(samples, regression.mean), np.mean(seconds, axis=0), against=[regression.covariance])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, "decay of PreconditionedSGLD must be at least 0 and below 1, got 1.0"),
        ({"decay": -0.1}, "decay of PreconditionedSGLD must be at least 0"),
        ({"decay": float("nan")}, "decay of PreconditionedSGLD must be at least 0"),
        ({"floor": 0.0}, "floor of PreconditionedSGLD must be finite and above 0, got 0.0"),
    ],
)
def test_misuse(options, message):
    with pytest.raises(Misuse, match=message):
        PreconditionedSGLD(potential_fn=quadratic, **options)
