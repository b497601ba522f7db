"""Noise ratios of known gradients, and the temperature that they give to a chain, by its exact law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.mcmc.gradient_noise import mean_ratios, worst_ratio
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.preconditioned_sgld import PreconditionedSGLD
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD

SPREAD = jnp.array([3.0, 1.0, 0.5])


def noisy(z, key):
    """Precisions 1, gradient noise of standard deviations SPREAD."""
    return 0.5 * jnp.sum(z**2) + jnp.sum(SPREAD * jax.random.normal(key, (3,)) * z)


def measured(kernel, batches=4000):
    state = kernel.init(jax.random.key(0), 0, jnp.array([0.3, -0.2, 0.1]))
    return kernel.noise(state, (), {}, jax.random.key(1), batches)[None]


@pytest.mark.parametrize(
    ("kernel", "gain"),
    [
        (SGLD(potential_fn=noisy, step_size=0.2), 0.1),
        (SGLD(potential_fn=noisy, step_size=0.2, scale=jnp.array([1.0, 3.0, 2.0])), 0.1),
        (SGHMC(potential_fn=noisy, step_size=0.2, friction=1.5), 0.04 / (1 - np.exp(-0.6))),
        (SGHMC(potential_fn=noisy, step_size=0.2, friction=1.5, splitting="euler"), 0.2 / 3),
        (HarmonicLangevin(potential_fn=noisy, step_size=0.2), 4 * np.tan(0.1) ** 2 / (1 - np.exp(-0.4))),
    ],
)
def test_known_noise(kernel, gain):
    """By coordinate, and in the worst direction: within four standard errors of a variance."""
    scale = 1.0 if kernel.scale is None else np.asarray(kernel.scale)
    wanted = gain * (scale * np.asarray(SPREAD)) ** 2
    deviations = measured(kernel)
    np.testing.assert_allclose(mean_ratios(deviations), wanted, rtol=4 * np.sqrt(2 / 4000))
    np.testing.assert_allclose(worst_ratio(deviations), wanted.max(), rtol=4 * np.sqrt(2 / 2000))


def test_a_preconditioner_scales_the_noise():
    """G = 1/(1 + |ĝ|) from the first gradient."""
    kernel = PreconditionedSGLD(potential_fn=noisy, step_size=0.2)
    state = kernel.init(jax.random.key(0), 0, jnp.array([0.3, -0.2, 0.1]))
    metric = 1 / (1 + np.sqrt(np.asarray(state.memory[0][0])))
    wanted = 0.1 * metric * np.asarray(SPREAD) ** 2
    np.testing.assert_allclose(mean_ratios(measured(kernel)), wanted, rtol=0.09)


def test_the_worst_direction_need_not_be_a_coordinate():
    """Noise along (1, 1)/√2 alone, and none at all."""
    along = jax.random.normal(jax.random.key(2), (4, 500, 1)) * jnp.array([1.0, 1.0])
    assert float(worst_ratio(along)) == pytest.approx(2.0, rel=4 * np.sqrt(2 / 1000))
    assert float(worst_ratio(jnp.zeros((1, 10, 3)))) == 0.0


def test_the_worst_direction_is_not_sought_where_it_is_measured():
    """Equal noise in 400 directions, 16 minibatches: the covariance's largest eigenvalue is above 20."""
    noise = jax.random.normal(jax.random.key(3), (1, 16, 400))
    largest = float(jnp.linalg.norm(noise[0] - noise[0].mean(axis=0), ord=2) ** 2) / 15
    ratios = jax.jit(jax.vmap(worst_ratio))(jax.random.normal(jax.random.key(4), (40, 1, 16, 400)))
    assert largest > 20
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 7 / 40))


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_the_ratio_is_the_rise_of_the_temperature(law, step):
    """Precision p and gradient noise σ: a variance (1 + ratio)/p, exactly for SGLD (times its own bias), and
    to order h for BAOAB: as law of (position, momentum, noise of the last gradient)."""
    precision, spread, friction = 1.3, 0.8, 1.0

    def overdamped(state, noise, _):
        z = state[0]
        return np.array([z - step * (precision * z + spread * noise[0]) + np.sqrt(2 * step) * noise[1]])

    def baoab(state, noise, _):
        z, r, last = state
        pushed = r - step / 2 * (precision * z + spread * last)
        decay = np.exp(-friction * step)
        turned = decay * pushed + np.sqrt(1 - decay**2) * noise[1]
        z = z + step / 2 * (pushed + turned)
        return np.array([z, turned - step / 2 * (precision * z + spread * noise[0]), noise[0]])

    gain = float(SGLD(potential_fn=noisy).noise_gain(jnp.asarray(step), ()))
    wanted = (1 + gain * spread**2) / (precision * (1 - step * precision / 2))
    np.testing.assert_allclose(law(overdamped, 1, 2)[1][0, 0], wanted, rtol=1e-6)
    memory = jnp.zeros(1), jnp.zeros(1)
    gain = float(SGHMC(potential_fn=noisy).noise_gain(jnp.asarray(step), memory))
    rise = law(baoab, 3, 2)[1][0, 0] * precision - 1
    assert rise == pytest.approx(gain * spread**2, rel=step)
