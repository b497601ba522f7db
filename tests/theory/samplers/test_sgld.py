"""SGLD against its exact laws: noise, minibatches, decreasing steps; and what SGD samples instead."""

import blackjax.sgmcmc.sgld
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
from numpyro.distributions import Normal
from scipy import stats

from theory.base import Dataset
from theory.compute.descent import descend
from theory.samplers.sgld import SGLD

PRECISION = np.array([0.5, 1.5])
NOISE = 2.0  # standard deviation of the gradient
ROWS = np.random.default_rng(0).normal(1.0, 1.5, size=12)


def noisy(z, key):
    """A Gaussian of known precision; the gradient has added noise of known variance."""
    return jnp.sum(0.5 * jnp.asarray(PRECISION) * z**2 + NOISE * z * jax.random.normal(key, z.shape))


def variance(precision, step, noise=NOISE):
    return (1 + step * noise**2 / 2) / (precision * (1 - step * precision / 2))


def recursion(precision, steps, noise=NOISE):
    """Variance after the given steps, from 0."""
    value = np.zeros(np.shape(precision))
    for step in steps:
        value = (1 - step * precision) ** 2 * value + 2 * step + (step * noise) ** 2
    return value


def test_gradient_noise_adds_its_variance(draw, agree):
    step = 0.3
    samples = draw(SGLD(potential_fn=noisy, step_size=step), jnp.zeros((500, 2)), 1000, warmup=60)
    wrong = [1 / PRECISION, variance(PRECISION, step, 0.0), variance(PRECISION, step / 2)]
    agree((samples**2).mean(axis=1), variance(PRECISION, step), against=wrong)


def mean_model(rows):
    """Rows N(z, 1), z ~ N(0, 2²): the posterior has precision 12 + ¼."""
    z = numpyro.sample("z", Normal(0, 2))
    with numpyro.plate("rows", 12, subsample_size=3) as chosen:
        numpyro.sample("y", Normal(z, 1), obs=rows[chosen])


@pytest.mark.slow
def test_minibatches_of_a_model(draw, agree):
    """3 of 12 rows without replacement: gradient noise of variance N² s²/B (1 - B/N), s² over N - 1."""
    step, precision = 0.04, 12.25
    noise = 12**2 * ROWS.var(ddof=1) / 3 * (1 - 3 / 12)
    start = {"z": jnp.zeros(500)}
    samples = draw(SGLD(lambda: mean_model(jnp.asarray(ROWS)), step_size=step), start, 1000, warmup=60)["z"]
    centre = ROWS.sum() / precision
    wanted = variance(precision, step, np.sqrt(noise))
    replaced = variance(precision, step, np.sqrt(noise / (1 - 3 / 12)))
    agree(samples.mean(axis=1), centre)
    agree(((samples - centre) ** 2).mean(axis=1), wanted, against=[1 / precision, replaced])


def test_a_tempered_regression(draw, agree, second, law, regression):
    """Minibatch noise that depends on the position: all pairs of rows, equally likely."""
    step = 0.1

    def move(z, noise, pair):
        return z - step * regression.slope(z, pair) + np.sqrt(2 * step) * noise

    mean, covariance = law(move, 2, 2, regression.pairs)
    whole = np.linalg.inv(regression.precision @ (np.eye(2) - step * regression.precision / 2))
    samples = draw(
        SGLD(potential_fn=regression.estimate, step_size=step), jnp.zeros((500, 2)), 1000, warmup=60
    )
    np.testing.assert_allclose(mean, regression.mean)
    agree(samples.mean(axis=1), mean, against=[np.zeros(2)])
    agree(second(samples, mean), covariance, against=[regression.covariance, whole])


@pytest.mark.slow
def test_decreasing_steps_reduce_the_bias(draw, agree):
    """The variance follows its recursion, and ends nearer to 1/p than any constant step of the same sum."""
    steps = 0.4 / (1 + np.arange(400) / 10) ** 0.6
    kernel = SGLD(potential_fn=noisy, step_size=lambda i: 0.4 / (1 + i / 10) ** 0.6)
    samples = draw(kernel, jnp.zeros((6000, 2)), 400, thin=400)[:, 0]
    wanted = recursion(PRECISION, steps)
    constant = variance(PRECISION, steps.mean())
    agree(samples**2, wanted, against=[variance(PRECISION, 0.4)])
    assert (np.abs(wanted * PRECISION - 1) < 0.8 * np.abs(constant * PRECISION - 1)).all()
    longer = recursion(PRECISION, 0.4 / (1 + np.arange(100000) / 10) ** 0.6)
    np.testing.assert_allclose(longer, 1 / PRECISION, rtol=0.01)


def ranks_of(chosen, shift, spread, samples):
    """Probability of each rank of the truth N(m, v) among independent draws N(m, spread² v)."""
    x = np.linspace(-9, 9, 4001)
    below = stats.norm.cdf((x - shift) / spread)
    weights = stats.norm.pdf(x) / stats.norm.pdf(x).sum()
    return np.array([weights @ stats.binom.pmf(rank, samples, below) for rank in chosen])


@pytest.mark.slow
def test_simulation_based_calibration(draw):
    """Ranks of the truth among 7 draws: the histogram of the biased law, flatter at a smaller step."""
    precision, kept, replications = 5.0, 7, 4000  # z ~ N(0, 1), four rows N(z, 1)
    random = np.random.default_rng(1)
    truth = random.normal(size=replications)
    centre = random.normal(truth[:, None], 1.0, size=(replications, 4)).sum(axis=1) / precision

    def kernel(centre):
        def energy(z, key):
            return 0.5 * precision * (z - centre) ** 2 + 3.0 * z * jax.random.normal(key)

        return SGLD(potential_fn=energy, step_size=step)

    excess = {}
    for step in (0.2, 0.05):
        thin = round(3.0 / (step * precision)) + 2
        length = dict(steps=kept * thin, warmup=5 * thin, thin=thin)
        samples = draw(kernel, jnp.asarray(truth), **length, data=jnp.asarray(centre))
        counts = np.bincount((samples < truth[:, None]).sum(axis=1), minlength=kept + 1)
        spread = np.sqrt(precision * variance(precision, step, 3.0))
        wanted = ranks_of(range(kept + 1), 0.0, spread, kept)
        assert stats.chisquare(counts, replications * wanted / wanted.sum()).pvalue > 1e-3
        excess[step] = stats.chisquare(counts).statistic - kept
    assert excess[0.2] > 8 * np.sqrt(2 * kept)  # miscalibrated, and known to be
    assert excess[0.05] < 0.3 * excess[0.2]


def test_blackjax_takes_the_same_steps(regression):
    """Its convention is ours: + ε ∇log p + √(2ε) ξ."""
    step = 0.07

    @jax.jit
    def theirs(noise, position, rows):
        estimator = jax.grad(lambda z, key: -regression.estimate(z, key))
        return integrate(noise, position, estimator, rows, step)

    kernel = SGLD(potential_fn=regression.estimate, step_size=step)
    integrate = blackjax.sgmcmc.sgld.build_kernel()
    state = kernel.init(jax.random.key(5), 0, jnp.array([0.5, -0.5]))
    position, ours = state.z, jax.jit(kernel.sample)
    for _ in range(10):
        _, now = jax.random.split(state.rng_key)
        rows, noise = jax.random.split(now)
        position = theirs(noise, position, rows)
        state = ours(state)
        np.testing.assert_allclose(state.z, position, rtol=1e-5, atol=1e-5)


def test_constant_step_sgd_is_not_the_gibbs_posterior(agree):
    """Gradient variance h and batch S: variance η/(S (2 - ηh)), whatever h is; Gibbs says 1/(nh)."""
    rate, batch, steps, chains = 0.1, 2, 200, 4000
    curvature, signs = np.array([1.0, 4.0]), np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    rows = np.repeat(signs, 2, axis=0)  # n = 8; ±1/√h has gradient h (z ∓ 1/√h), of variance h
    data = Dataset(jnp.asarray(rows), jnp.ones(rows.shape, bool))
    chosen = jax.random.randint(jax.random.key(0), (chains, steps, batch), 0, len(rows))

    def loss(z, data):
        gap = z - data.tokens / jnp.sqrt(jnp.asarray(curvature))
        return jnp.mean(jnp.sum(0.5 * jnp.asarray(curvature) * gap**2, axis=1))

    def run(batches):
        return descend(loss, optax.sgd(rate), jnp.zeros(2), data, batches, [steps])[0][0]

    ends = np.asarray(jax.jit(jax.vmap(run))(chosen), float)
    wanted = rate / (batch * (2 - rate * curvature))
    agree(ends**2, wanted, against=[1 / (len(rows) * curvature), np.array([1 / 2, 1 / 8]) * wanted])
    np.testing.assert_allclose(wanted, rate / (2 * batch), rtol=0.26)  # isotropic, to first order in η
