"""The control variate: no noise at the anchor, exact laws where they can be solved, functions and models."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Normal

from theory.errors import Misuse
from theory.samplers.control_variate_sgld import ControlVariateSGLD, example


def gradients(kernel, anchor, points, keys):
    """Potential and gradient (point, key, ...) of a kernel anchored at `anchor`."""

    @jax.jit
    def run(anchor, points, keys):
        anchored = kernel._gradient(kernel._anchor(anchor, (), {}), (), {})
        return jax.vmap(jax.vmap(anchored, in_axes=(None, 0)), in_axes=(0, None))(points, keys)

    return run(anchor, points, keys)


KEYS = jax.random.split(jax.random.key(1), 64)


def test_the_noise_vanishes_at_the_anchor_and_never_biases(regression):
    """Over keys that draw every minibatch once: no spread at the anchor, a linear one away from it, the whole
    gradient on average; and much less than the bare minibatches near it."""
    pairs = len(regression.pairs)
    keys = jax.random.split(jax.random.key(2), 400)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: jax.random.randint(key, (), 0, pairs)))(keys))
    keys = keys[np.array([np.flatnonzero(drawn == pair)[0] for pair in range(pairs)])]
    kernel = ControlVariateSGLD(potential_fn=regression.estimate, whole_potential_fn=regression.whole)
    anchor = np.array([0.3, -0.2])
    points = anchor + np.array([[0], [0.01], [0.1], [1]]) * np.array([1.0, 0.5])
    value, gradient = gradients(kernel, jnp.asarray(anchor), jnp.asarray(points), keys)
    whole = np.array([regression.slope(z) for z in points])
    np.testing.assert_allclose(gradient[0], np.tile(whole[0], (pairs, 1)), rtol=1e-4)
    np.testing.assert_allclose(np.mean(gradient, axis=1), whole, rtol=1e-4)
    np.testing.assert_allclose(np.mean(value, axis=1), [regression.whole(z) for z in points], rtol=1e-5)
    spreads = np.std(gradient, axis=1)
    np.testing.assert_allclose(spreads[2], 10 * spreads[1], rtol=1e-2)
    np.testing.assert_allclose(spreads[3], 10 * spreads[2], rtol=1e-3)
    bare = np.std([regression.slope(points[2], pair) for pair in regression.pairs], axis=0)
    assert (spreads[2] < 0.3 * bare).all()


def test_additive_noise_cancels(draw, agree):
    def noisy(z, key):
        return jnp.sum(0.5 * z**2 + 3 * z * jax.random.normal(key, z.shape))

    step = 0.4
    kernel = ControlVariateSGLD(
        potential_fn=noisy, whole_potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=step
    )
    samples = draw(kernel, jnp.zeros((500, 1)), 1000, warmup=50)
    agree((samples**2).mean(axis=1), 1 / (1 - step / 2), against=[(1 + step * 9 / 2) / (1 - step / 2), 1.0])


def test_a_random_precision(draw, agree):
    """ĝ = z + σ n (z - a):  v = (2 + εσ²a²) / (2 - ε - εσ²), about the true mean 0 at any anchor a."""
    step, sigma, anchor = 0.1, 0.5, 3.0
    samples = draw(example(), jnp.full((500, 1), anchor), 1000, warmup=150)
    wanted = (2 + step * sigma**2 * anchor**2) / (2 - step - step * sigma**2)
    agree(samples.mean(axis=1), 0.0)
    agree((samples**2).mean(axis=1), wanted, against=[2 / (2 - step - step * sigma**2)])


def test_a_tempered_regression(draw, agree, second, law, regression):
    """Exact for every anchor: at the mode and far away."""
    step, anchors = 0.1, [regression.mean, np.array([2.0, -2.0])]

    def move(z, noise, now):
        anchor, pair = now
        gradient = regression.slope(z, pair) - regression.slope(anchor, pair) + regression.slope(anchor)
        return z - step * gradient + np.sqrt(2 * step) * noise

    kernel = ControlVariateSGLD(
        potential_fn=regression.estimate, whole_potential_fn=regression.whole, step_size=step
    )
    start = jnp.asarray(np.repeat(anchors, 500, axis=0))
    samples = draw(kernel, start, 1000, warmup=60)
    laws = [law(move, 2, 2, [(anchor, pair) for pair in regression.pairs]) for anchor in anchors]
    for mine, (mean, covariance), (_, other) in zip(np.split(samples, 2), laws, laws[::-1], strict=True):
        np.testing.assert_allclose(mean, regression.mean)
        agree(mine.mean(axis=1), mean)
        agree(second(mine, mean), covariance, against=[regression.covariance, other])


def model(rows):
    z = numpyro.sample("z", Normal(0, 2).expand([2]).to_event(1))
    with numpyro.plate("rows", 12, subsample_size=3) as chosen:
        numpyro.sample("y", Normal(jnp.sin(z[0]) + z[1], 1), obs=rows[chosen])


def test_a_model_gives_its_own_whole_potential():
    rows = jnp.linspace(-1, 2, 12)
    kernel = ControlVariateSGLD(lambda: model(rows))
    anchor = {"z": jnp.array([0.3, -0.4])}
    points = jax.tree.map(lambda leaf: leaf[None], anchor)
    value, gradient = gradients(kernel, anchor, points, KEYS)
    z = anchor["z"]
    fit = jnp.sin(z[0]) + z[1]
    wanted = -Normal(0, 2).log_prob(z).sum() - Normal(fit, 1).log_prob(rows).sum()
    pull = float(jnp.sum(fit - rows))
    np.testing.assert_allclose(value[0], np.full(64, wanted), rtol=1e-5)
    slope = np.asarray(z) / 4 + np.array([np.cos(0.3), 1.0]) * pull
    np.testing.assert_allclose(gradient["z"][0], np.tile(slope, (64, 1)), rtol=1e-4)


def test_it_needs_the_whole_potential(regression):
    with pytest.raises(Misuse, match="whole potential besides a potential_fn"):
        ControlVariateSGLD(potential_fn=regression.estimate)
