"""ULA against its own stationary laws, bias included, and against the laws of other conventions."""

import jax
import jax.numpy as jnp
import numpy as np

from theory.samplers.ula import ULA

PRECISION = np.array([0.4, 1.6, 3.0])


def quadratic(z):
    return 0.5 * jnp.sum(jnp.asarray(PRECISION) * z**2)


def variance(precision, step):
    return 1 / (precision * (1 - step * precision / 2))


def test_the_variance_is_the_biased_one(draw, agree):
    step = 0.5
    samples = draw(ULA(potential_fn=quadratic, step_size=step), jnp.zeros((500, 3)), 1000, warmup=60)
    squares = (samples**2).mean(axis=1)
    agree(squares, variance(PRECISION, step), against=[1 / PRECISION, variance(PRECISION, step / 2)])
    # the step convention, which the variance alone leaves open: neighbours correlate by 1 - εp
    products = (samples[:, 1:] * samples[:, :-1]).mean(axis=1)
    slower = variance(PRECISION, step) * (1 - step * PRECISION / 2)
    agree(products, variance(PRECISION, step) * (1 - step * PRECISION), against=[slower])
    agree(samples.mean(axis=1), 0.0)
    four = (samples**4).mean(axis=1)
    agree(four, 3 * variance(PRECISION, step) ** 2)  # still a Gaussian


def test_it_is_unstable_from_two(draw, agree):
    """v ← (1 - εp)² v + 2ε: below 2 a limit, at 2 growth by 2ε a step, above 2 by a factor."""
    products = np.array([1.9, 2.0, 2.1])

    def energy(z):
        return 0.5 * jnp.sum(jnp.asarray(products) * z**2)

    samples = draw(ULA(potential_fn=energy, step_size=1.0), jnp.zeros((20000, 3)), 60, thin=60)
    wanted, factor = np.zeros(3), (1 - products) ** 2
    for _ in range(60):
        wanted = factor * wanted + 2
    agree(samples[:, 0] ** 2, wanted)
    assert wanted[0] < variance(1.9, 1.0) < wanted[1] == 120 < 1e3 < wanted[2]


def test_a_scale_is_a_step_for_each_coordinate(draw, agree):
    step, scale = 0.3, np.array([1.5, 0.7, 0.4])
    kernel = ULA(potential_fn=quadratic, step_size=step, scale=jnp.asarray(scale))
    samples = draw(kernel, jnp.zeros((500, 3)), 1000, warmup=100)
    wanted = variance(PRECISION, step * scale**2)
    agree((samples**2).mean(axis=1), wanted, against=[variance(PRECISION, step), 1 / PRECISION])


def test_a_correlated_gaussian(draw, agree, second):
    """The covariance of precision P is (P (I - εP/2))⁻¹."""
    step, precision = 0.4, np.array([[2.0, -1.2, 0.3], [-1.2, 1.5, 0.2], [0.3, 0.2, 0.8]])
    centre = np.array([1.0, -2.0, 0.5])

    def energy(z):
        return 0.5 * (z - centre) @ jnp.asarray(precision) @ (z - centre)

    start = jnp.broadcast_to(jnp.asarray(centre), (500, 3))
    samples = draw(ULA(potential_fn=energy, step_size=step), start, 1000, warmup=100)
    wanted = np.linalg.inv(precision @ (np.eye(3) - step * precision / 2))
    agree(samples.mean(axis=1), centre)
    agree(second(samples, centre), wanted, against=[np.linalg.inv(precision), np.diag(np.diag(wanted))])


def test_a_target_that_is_not_gaussian(draw, agree, grid):
    """On U = z²/2 + 2 cos(3z) + z/2: the chain's own law on a grid, not the target."""
    step = 0.08

    def energy(z, cos=jnp.cos):
        return 0.5 * z**2 + 2 * cos(3 * z) + 0.5 * z

    def mean(x):
        return x - step * (x - 6 * np.sin(3 * x) + 0.5)

    x, weights = grid(mean, lambda x: np.full(x.shape, np.sqrt(2 * step)))
    target = np.exp(-energy(x, np.cos))
    samples = draw(ULA(potential_fn=energy, step_size=step), jnp.zeros(500), 2000, warmup=200)
    agree(samples.mean(axis=1), weights @ x)
    agree((samples**2).mean(axis=1), weights @ x**2, against=[target @ x**2 / target.sum()])
    agree((samples < -1).mean(axis=1), weights @ (x < -1), against=[target @ (x < -1) / target.sum()])


def test_a_tempered_regression(draw, agree, second, law, regression):
    step = 0.15

    def move(z, noise, _):
        return z - step * regression.slope(z) + np.sqrt(2 * step) * noise

    mean, covariance = law(move, 2, 2)
    np.testing.assert_allclose(mean, regression.mean)
    biased = np.linalg.inv(regression.precision @ (np.eye(2) - step * regression.precision / 2))
    np.testing.assert_allclose(covariance, biased)
    samples = draw(ULA(potential_fn=regression.whole, step_size=step), jnp.zeros((500, 2)), 1000, warmup=60)
    agree(samples.mean(axis=1), mean, against=[np.zeros(2)])
    agree(second(samples, mean), covariance, against=[regression.covariance])


def test_the_step_goes_to_zero_with_the_bias(draw, agree):
    """A schedule is read at the number of steps done, warm-up included."""
    start, rate = jnp.zeros((20000, 3)), 0.6
    kernel = ULA(potential_fn=quadratic, step_size=lambda i: rate / (1 + i) ** 0.5)
    samples = draw(kernel, start, 30, warmup=10, thin=30)
    wanted = np.zeros(3)
    for i in range(40):
        step = rate / (1 + i) ** 0.5
        wanted = (1 - step * PRECISION) ** 2 * wanted + 2 * step
    agree(samples[:, 0] ** 2, wanted, against=[variance(PRECISION, rate)])


def test_one_step_by_hand():
    """From the key the kernel uses: split for the chain, then for the noise."""
    kernel = ULA(potential_fn=quadratic, step_size=0.2)
    state = kernel.init(jax.random.key(3), 0, jnp.array([1.0, -2.0, 0.5]))
    _, now = jax.random.split(state.rng_key)
    _, noise = jax.random.split(now)
    gradient = PRECISION * np.asarray(state.z)
    wanted = state.z - 0.2 * gradient + np.sqrt(0.4) * np.asarray(jax.random.normal(noise, (3,)))
    after = kernel.sample(state)
    np.testing.assert_allclose(after.z, wanted, rtol=1e-5)
    np.testing.assert_allclose(after.potential_energy, quadratic(state.z), rtol=1e-6)
    assert (int(after.i), float(after.accept_prob)) == (1, 1.0)
