"""MALA is exact at any step: Gaussians, models, calibration; and its acceptance, step for step."""

import blackjax.mcmc.mala
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Gamma, Normal
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import constrain_fn
from scipy import stats

from theory.samplers.mala import MALA, log_acceptance

PRECISION = np.array([[2.0, -1.2, 0.3], [-1.2, 1.5, 0.2], [0.3, 0.2, 0.8]])
CENTRE = np.array([1.0, -2.0, 0.5])


def gaussian(z):
    return 0.5 * (z - CENTRE) @ jnp.asarray(PRECISION) @ (z - CENTRE)


def test_a_correlated_gaussian_at_a_large_step(draw, agree, second):
    """Where ULA of the same ε is off by up to half."""
    step, covariance = 0.4, np.linalg.inv(PRECISION)
    start = jnp.broadcast_to(jnp.asarray(CENTRE), (500, 3))
    samples = draw(MALA(potential_fn=gaussian, step_size=step), start, 1500, warmup=100)
    ula = np.linalg.inv(PRECISION @ (np.eye(3) - step * PRECISION / 2))
    agree(samples.mean(axis=1), CENTRE)
    agree(second(samples, CENTRE), covariance, against=[ula, np.diag(np.diag(covariance))])


@pytest.mark.slow
def test_a_scale_changes_the_mixing_and_not_the_target(draw, agree):
    precision = jnp.array([100.0, 1.0])
    moments, moved = {}, {}
    for scale in (None, precision**-0.5):
        kernel = MALA(potential_fn=lambda z: 0.5 * jnp.sum(precision * z**2), step_size=0.01, scale=scale)
        kernel = (
            kernel if scale is None else MALA(potential_fn=kernel.potential_fn, step_size=0.8, scale=scale)
        )
        samples = draw(kernel, jnp.asarray(np.random.default_rng(0).normal(size=(500, 2)) / [10, 1]), 500)
        moments[scale is None], moved[scale is None] = (
            (samples**2).mean(axis=1),
            np.diff(samples[..., 1], axis=1),
        )
    for values in moments.values():
        agree(values, np.array([0.01, 1.0]), against=[np.array([0.02, 1.0])])
    assert (moved[False] ** 2).mean() > 10 * (moved[True] ** 2).mean()


ROWS = np.array([0.5, 2.0, 1.0])
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


def model():
    """A location, and a positive scale: heavy tails, a narrow place where the scale is small."""
    scale = numpyro.sample("scale", Gamma(2.0, 1.0))
    shift = numpyro.sample("shift", Normal(0, 1))
    numpyro.sample("y", Normal(shift, scale), obs=jnp.asarray(ROWS))


@pytest.fixture(scope="module")
def posterior(draw):
    """Draws of the model's sites, (chain, draw)."""
    # not from the prior: far from the rows the drift overshoots, and a chain stays where it is for ever
    start = {"scale": jnp.zeros(500), "shift": jnp.ones(500)}
    samples = draw(MALA(model, step_size=0.1), start, 2000, warmup=500)
    return {
        name: np.asarray(x, float) for name, x in constrain_fn(model, (), {}, samples, batch_ndims=2).items()
    }


def summary(rows, bounds):
    """Mean, second moment, and weight below each bound, for each chain."""
    below = (rows[..., None] < bounds).mean(axis=1)
    return np.concatenate([np.stack([rows.mean(axis=1), (rows**2).mean(axis=1)], axis=1), below], axis=1)


@pytest.mark.slow
def test_a_model_that_is_not_gaussian(posterior, agree):
    """Moments and quantiles by quadrature over both sites."""
    scale, shift = np.meshgrid(np.exp(np.linspace(-3, 4, 1401)), np.linspace(-6, 6, 1201), indexing="ij")
    log = stats.gamma.logpdf(scale, 2) + stats.norm.logpdf(shift) + np.log(scale)  # even in log scale
    log += sum(stats.norm.logpdf(row, shift, scale) for row in ROWS)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    for name, x, wrong in (("scale", scale[:, 0], 1.03), ("shift", shift[0], 1.1)):
        mass = weights.sum(axis=1 if name == "scale" else 0)
        bounds = np.interp(QUANTILES, np.cumsum(mass) - mass / 2, x)
        truth = np.array([mass @ x, mass @ x**2, *QUANTILES])
        agree(summary(posterior[name], bounds), truth)
        assert (summary(posterior[name], bounds).std(axis=0) / np.sqrt(500) < 0.03 * truth).all()
        with pytest.raises(AssertionError):
            agree(summary(wrong * posterior[name], bounds), truth)


@pytest.mark.slow
def test_a_model_against_nuts(posterior):
    """The errors of both added."""
    nuts = MCMC(
        NUTS(model), num_warmup=500, num_samples=1000, num_chains=100, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    nuts.run(jax.random.key(0))
    for name, rows in nuts.get_samples(group_by_chain=True).items():
        rows = np.asarray(rows, float)
        bounds = np.quantile(rows, QUANTILES)
        ours, theirs = summary(posterior[name], bounds), summary(rows, bounds)
        gap = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
        error = np.hypot(*(one.std(axis=0, ddof=1) / np.sqrt(len(one)) for one in (ours, theirs)))
        assert (gap < 4 * error).all() and (error < 0.03 * theirs.mean(axis=0)).all(), (name, gap / error)


def test_simulation_based_calibration(draw):
    """z ~ N(0, 1), three rows N(z, 1): ranks of the truth among 15 draws are uniform; of a wrong law not."""
    kept, thin, replications = 15, 12, 4000
    random = np.random.default_rng(2)
    truth = random.normal(size=replications)
    rows = random.normal(truth[:, None], 1.0, size=(replications, 3))

    def kernel(total):
        return MALA(potential_fn=lambda z: 0.5 * z**2 + 0.5 * (3 * z**2 - 2 * z * total), step_size=0.3)

    samples = draw(
        kernel, jnp.zeros(replications), kept * thin, warmup=30, thin=thin, data=jnp.asarray(rows.sum(1))
    )
    centre = rows.sum(axis=1, keepdims=True) / 4
    for stretch, calibrated in ((1.0, True), (1.15, False)):
        ranks = (centre + stretch * (samples - centre) < truth[:, None]).sum(axis=1)
        chance = stats.chisquare(np.bincount(ranks, minlength=kept + 1)).pvalue
        assert chance > 1e-3 if calibrated else chance < 1e-6


@pytest.mark.slow
def test_the_divergence_falls_with_the_number_of_draws(draw, agree):
    """KL from a Gaussian fitted to n draws to the truth: from n = 100 to 1600 it falls as 1/n."""
    samples = draw(MALA(potential_fn=lambda z: 0.5 * z**2, step_size=0.8), jnp.zeros(2000), 1600, warmup=20)
    fits = []
    for n in (100, 400, 1600):
        mean, variance = samples[:, :n].mean(axis=1), samples[:, :n].var(axis=1)
        fits.append(n * 0.5 * (variance + mean**2 - 1 - np.log(variance)))
    agree(fits[1] - fits[2], 0.0, against=[fits[2].mean() * 3])
    assert fits[0].mean() < 100 * 0.02  # and is small already


def test_blackjax_takes_the_same_steps():
    """Its energy and convention are ours: the same noise and coins give the same chain and acceptance."""
    step = 0.5
    kernel = MALA(potential_fn=gaussian, step_size=step)
    state = kernel.init(jax.random.key(5), 0, jnp.array([0.5, -0.5, 1.0]))
    density = jax.jit(jax.value_and_grad(lambda z: -gaussian(z)))
    integrate = blackjax.mcmc.diffusions.overdamped_langevin(density)
    mala, ours = blackjax.mcmc.mala, jax.jit(kernel.sample)

    @jax.jit
    def theirs(state, now):
        _, noise, coin = jax.random.split(now, 3)
        proposal = mala.MALAState(*integrate(noise, state, step))

        def energy(old, new):
            gap = old.position - new.position - step * new.logdensity_grad
            return -new.logdensity + 0.25 / step * jnp.sum(gap**2)

        ratio = blackjax.mcmc.proposal.compute_asymmetric_acceptance_ratio(energy)(state, proposal)
        here, there = ((-one.logdensity, -one.logdensity_grad) for one in (state, proposal))
        mine = log_acceptance(state.position, here, proposal.position, there, jnp.asarray(step))
        taken, (_, chance, _) = blackjax.mcmc.proposal.static_binomial_sampling(coin, ratio, state, proposal)
        return taken, chance, ratio, jnp.minimum(0.0, mine)

    other, accepted = mala.init(state.z, lambda z: -gaussian(z)), []
    for _ in range(30):
        _, now = jax.random.split(state.rng_key)
        before = state.z
        state = ours(state)
        other, chance, ratio, mine = theirs(other, now)
        np.testing.assert_allclose(state.z, other.position, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state.accept_prob, chance, rtol=1e-4)
        np.testing.assert_allclose(jnp.minimum(0.0, ratio), mine, rtol=1e-4, atol=1e-5)
        accepted.append(bool((state.z != before).any()))
    assert 5 < sum(accepted) < 30  # both outcomes were met


def test_a_whole_step_of_blackjax_has_the_same_law():
    """Its own kernel, keys and all: the same expected acceptance from one position."""
    step, count = 0.5, 20000
    position = jnp.array([0.5, -0.5, 1.0])
    kernel, theirs = MALA(potential_fn=gaussian, step_size=step), blackjax.mcmc.mala.build_kernel()
    start = blackjax.mcmc.mala.init(position, lambda z: -gaussian(z))
    keys = jax.random.split(jax.random.key(0), count)
    state = kernel.init(jax.random.key(1), 0, position)
    ours = jax.jit(jax.vmap(lambda key: kernel.sample(state._replace(rng_key=key)).accept_prob))(keys)
    info = jax.jit(jax.vmap(lambda key: theirs(key, start, lambda z: -gaussian(z), step)[1]))(keys)
    gap = np.mean(ours) - np.mean(info.acceptance_rate)
    assert abs(gap) < 4 * np.hypot(np.std(ours), np.std(info.acceptance_rate)) / np.sqrt(count) < 0.02


def test_a_tempered_regression(draw, agree, second, regression):
    step = 0.4
    samples = draw(MALA(potential_fn=regression.whole, step_size=step), jnp.zeros((500, 2)), 1000, warmup=60)
    ula = np.linalg.inv(regression.precision @ (np.eye(2) - step * regression.precision / 2))
    agree(samples.mean(axis=1), regression.mean, against=[np.zeros(2)])
    agree(second(samples, regression.mean), regression.covariance, against=[ula])


def test_a_proposal_that_is_not_finite_is_refused(draw, agree):
    """A half-normal: infinite below 0, so the chain stays above."""
    kernel = MALA(potential_fn=lambda z: jnp.where(z < 0, jnp.inf, 0.5 * z**2), step_size=0.5)
    samples = draw(kernel, jnp.ones(500), 1000, warmup=50)
    assert samples.min() >= 0
    agree(samples.mean(axis=1), np.sqrt(2 / np.pi))
    agree((samples**2).mean(axis=1), 1.0)
