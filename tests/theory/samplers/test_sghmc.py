"""SGHMC: exact on Gaussians by BAOAB, and against discrete Lyapunov equations where it is not."""

import blackjax.sgmcmc.diffusions
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.errors import Misuse
from theory.samplers.sghmc import SGHMC

PRECISION = np.array([0.3, 1.0, 3.5])


def quadratic(z):
    return 0.5 * jnp.sum(jnp.asarray(PRECISION) * z**2)


def baoab(h, friction, slope):
    """The step in plain numpy on (z, r, ∇U): the gradient's noise is that of the case that drew it."""
    decay = np.exp(-friction * h)

    def move(x, noise, case):
        z, r, gradient = np.split(x, 3)
        pushed = r - h / 2 * gradient
        turned = decay * pushed + np.sqrt(1 - decay**2) * noise[: len(z)]
        z = z + h / 2 * pushed + h / 2 * turned
        gradient = slope(z, noise[len(z) :], case)
        return np.concatenate([z, turned - h / 2 * gradient, gradient])

    return move


def euler(h, friction, slope):
    def move(x, noise, case):
        z, r = np.split(x, 2)
        kicked = (1 - friction * h) * r - h * slope(z, noise[len(z) :], case)
        return np.concatenate([z + h * r, kicked + np.sqrt(2 * friction * h) * noise[: len(z)]])

    return move


def test_the_variance_is_exact_at_a_large_step(draw, agree):
    """h² p = 3.5, where the same overdamped step ε = h²/2 gives ULA eight times the variance."""
    samples = draw(SGHMC(potential_fn=quadratic, step_size=1.0), jnp.zeros((500, 3)), 1500, warmup=100)
    ula = 1 / (PRECISION * (1 - PRECISION / 4))
    agree((samples**2).mean(axis=1), 1 / PRECISION, against=[ula])
    agree(samples.mean(axis=1), 0.0)
    # the clock, which the variance leaves open: the first lag of the exact linear map
    h, decay, p = 1.0, np.exp(-1.0), PRECISION
    lag = (1 - h**2 * p * (1 + decay) / 4) / p
    agree((samples[:, 1:] * samples[:, :-1]).mean(axis=1), lag, against=[(1 - h**2 * p / 2) / p])


@pytest.mark.parametrize("splitting", ["baoab", "euler"])
def test_gradient_noise_heats_by_the_lyapunov_equation(splitting, draw, agree, law):
    h, friction, sigma, p = 0.4, 1.5, 2.0, 1.3

    def noisy(z, key):
        return 0.5 * p * z**2 + sigma * z * jax.random.normal(key)

    def slope(z, noise, _):
        return p * z + sigma * noise

    make, size = {"baoab": (baoab, 3), "euler": (euler, 2)}[splitting]
    _, covariance = law(make(h, friction, slope), size, 2)
    _, quiet = law(make(h, friction, lambda z, *_: p * z), size, 2)
    kernel = SGHMC(potential_fn=noisy, step_size=h, friction=friction, splitting=splitting)
    samples = draw(kernel, jnp.zeros(1000), 1500, warmup=60)
    agree((samples**2).mean(axis=1), covariance[0, 0], against=[1 / p, quiet[0, 0]])
    if splitting == "baoab":
        np.testing.assert_allclose(quiet[0, 0], 1 / p)
    else:
        assert abs(quiet[0, 0] * p - 1) > 0.1


def test_the_heating_is_h_sigma2_over_two_friction(law):
    """The docstring's first order, for small h."""
    h, friction, sigma, p = 1e-3, 2.0, 3.0, 0.7
    _, covariance = law(baoab(h, friction, lambda z, noise, _: p * z + sigma * noise), 3, 2)
    heat = h * sigma**2 / (2 * friction)
    np.testing.assert_allclose(covariance[0, 0] * p - 1, heat, rtol=0.01)
    np.testing.assert_allclose(covariance[1, 1] - 1, heat, rtol=0.01)


def test_euler_is_unstable_from_hp_equal_to_the_friction(law):
    for p, stable in ((3.9, True), (4.1, False)):
        move = euler(0.5, 2.0, lambda z, noise, _, p=p: p * z)
        if stable:
            law(move, 2, 1)
        else:
            with pytest.raises(AssertionError):
                law(move, 2, 1)


def test_no_friction_is_verlet():
    """Energy is kept to order h², and shrinks fourfold with h."""
    losses = []
    for h in (0.1, 0.05):
        kernel = SGHMC(potential_fn=quadratic, step_size=h, friction=0.0)
        state = kernel.init(jax.random.key(0), 0, jnp.array([1.0, -1.0, 0.5]))

        def move(state, _, kernel=kernel):
            state = kernel.sample(state)
            return state, state.potential_energy + 0.5 * jnp.sum(state.memory[0][0] ** 2)

        _, energies = jax.jit(lambda state, move=move: jax.lax.scan(move, state, length=400))(state)
        losses.append(np.ptp(energies))
    assert losses[0] < 0.02
    assert 3.5 < losses[0] / losses[1] < 4.5


@pytest.mark.slow
def test_a_tempered_regression(draw, agree, second, law, regression):
    """Exact on the whole potential; with minibatches, the law of all pairs of rows."""
    h, friction = 0.4, 2.0
    whole = SGHMC(potential_fn=regression.whole, step_size=1.0, friction=friction)
    samples = draw(whole, jnp.zeros((500, 2)), 1000, warmup=60)
    agree(samples.mean(axis=1), regression.mean, against=[np.zeros(2)])
    ula = np.linalg.inv(regression.precision @ (np.eye(2) - regression.precision / 4))
    agree(second(samples, regression.mean), regression.covariance, against=[ula])

    move = baoab(h, friction, lambda z, noise, pair: regression.slope(z, pair))
    mean, covariance = law(move, 6, 2, regression.pairs)
    np.testing.assert_allclose(mean[:2], regression.mean)
    kernel = SGHMC(potential_fn=regression.estimate, step_size=h, friction=friction)
    samples = draw(kernel, jnp.zeros((500, 2)), 1500, warmup=100)
    agree(samples.mean(axis=1), regression.mean)
    agree(second(samples, mean[:2]), covariance[:2, :2], against=[regression.covariance])


def test_a_scale_changes_the_clock_and_not_the_target(draw, agree):
    scale = np.array([1.8, 1.0, 0.5])
    kernel = SGHMC(potential_fn=quadratic, step_size=1.0, scale=jnp.asarray(scale))
    samples = draw(kernel, jnp.zeros((500, 3)), 1500, warmup=100)
    agree((samples**2).mean(axis=1), 1 / PRECISION)
    scaled = PRECISION * scale**2
    lag = (1 - scaled * (1 + np.exp(-1.0)) / 4) / PRECISION
    unscaled = (1 - PRECISION * (1 + np.exp(-1.0)) / 4) / PRECISION
    agree((samples[:, 1:] * samples[:, :-1]).mean(axis=1), lag, against=[unscaled])


def test_blackjax_takes_the_same_euler_steps():
    h, friction = 0.2, 0.7
    kernel = SGHMC(potential_fn=quadratic, step_size=h, friction=friction, splitting="euler")
    theirs = jax.jit(blackjax.sgmcmc.diffusions.sghmc(alpha=friction))
    state = kernel.init(jax.random.key(5), 0, jnp.array([0.5, -0.5, 1.0]))
    position, momentum, ours = state.z, state.memory[0][0], jax.jit(kernel.sample)
    for _ in range(10):
        _, now = jax.random.split(state.rng_key)
        _, noise = jax.random.split(now)
        gradient = -jnp.asarray(PRECISION) * position
        position, momentum = theirs(noise, position, momentum, gradient, h)
        state = ours(state)
        np.testing.assert_allclose(state.z, position, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state.memory[0][0], momentum, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("friction", [-1.0, float("nan"), float("inf")])
def test_misuse_of_the_friction(friction):
    with pytest.raises(Misuse, match="friction of SGHMC must be finite and at least 0"):
        SGHMC(potential_fn=quadratic, friction=friction)


def test_misuse_of_the_splitting():
    with pytest.raises(Misuse, match="must be 'baoab' or 'euler', got 'leapfrog'"):
        SGHMC(potential_fn=quadratic, splitting="leapfrog")
