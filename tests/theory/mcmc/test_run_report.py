"""`diagnose(mcmc)` on runs whose gradient noise is known, and on logistic regression against NUTS."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Bernoulli, Normal
from numpyro.infer import MCMC, NUTS, init_to_value

from theory.errors import Misuse
from theory.mcmc.run_report import RunReport, diagnose
from theory.samplers.control_variate_sgld import ControlVariateSGLD
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD
from theory.samplers.ula import ULA

SIZE, BATCH = 64, 8
VALUES = jax.random.normal(jax.random.key(0), (SIZE,)) + jnp.array(1.0)


def conjugate(values):
    mean = numpyro.sample("mean", Normal(0, 1))
    numpyro.sample("apart", Normal(0, 1))
    with numpyro.plate("rows", SIZE, subsample_size=BATCH) as rows:
        numpyro.sample("value", Normal(mean, 1), obs=values[rows])


def run(kernel, *args, chains=2, warmup=50, samples=50, key=1, model_kwargs=None):
    mcmc = MCMC(
        kernel, num_warmup=warmup, num_samples=samples, num_chains=chains, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    mcmc.run(jax.random.key(key), *args)
    jax.effects_barrier()
    return mcmc


@pytest.mark.slow
def test_the_ratio_comes_from_model_and_plate():
    """The gradient's variance is that of the mean of B of n rows, times n²; its worst direction is `mean`."""
    step = 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = diagnose(run(SGLD(conjugate, step_size=step), VALUES, chains=8))
    variance = SIZE**2 / BATCH * float(np.var(VALUES, ddof=1)) * (1 - BATCH / SIZE)
    wanted = step / 2 * variance
    assert report.noise_by_site["mean"] == pytest.approx(wanted, rel=4 * np.sqrt(2 / 8 / 127))
    assert report.gradient_noise == pytest.approx(wanted, rel=4 * np.sqrt(2 / 8 / 63))
    assert report.noise_by_site["apart"] < 1e-9
    assert report.step_over_stable == pytest.approx(step * (SIZE + 1) / 2, rel=0.05)
    (sentence,) = report.problems()
    assert "times the injected noise in the worst direction, but must be at most 0.1" in sentence
    assert sentence in str(report) and "mean" in str(report)


@pytest.mark.slow
def test_a_run_whose_gradient_noise_is_not_small_warns_after_warm_up():
    with pytest.warns(UserWarning, match="After the warm-up of SGHMC gradient noise is .* control variate"):
        run(SGHMC(conjugate, step_size=0.05), VALUES)


@pytest.mark.slow
def test_without_noise_there_is_nothing_to_warn_of():
    """Equal curvatures: the noise of a control variate cancels, wherever its anchor is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mcmc = run(ControlVariateSGLD(conjugate, step_size=1e-2), VALUES)
    report = diagnose(mcmc)
    assert report.gradient_noise < 1e-6 and report.problems() == []
    assert "No problem found." in str(report)


def test_one_chain_and_a_potential_have_a_report():
    mcmc = MCMC(
        ULA(potential_fn=lambda z: z["a"] @ z["a"], step_size=lambda i: 0.1),
        num_warmup=1, num_samples=2, progress_bar=False,
    )  # fmt: skip
    with pytest.raises(Misuse, match="needs a finished run"):
        diagnose(mcmc)
    mcmc.run(jax.random.key(0), init_params={"a": jnp.ones(2)})
    report = diagnose(mcmc)
    assert report.noise_by_site["a"] < 1e-9 and np.isnan(report.step_over_stable)
    assert report.problems() == []


def test_an_unstable_step_is_told_at_the_end():
    """Curvature 1 at 0 and 100 from |z| = 1/2 on: a start at 0 is not refused."""
    wall = lambda z: jnp.sum(0.5 * z**2 + 49.5 * jnp.maximum(jnp.abs(z) - 0.5, 0.0) ** 2)  # noqa: E731
    kernel = ULA(potential_fn=wall, step_size=0.05)
    assert kernel.step_over_stable(jnp.zeros(1)) == pytest.approx(0.025, rel=0.01)
    share = kernel.step_over_stable(jnp.ones(1))
    assert share == pytest.approx(2.5, rel=0.01)
    (sentence,) = RunReport({"z": 0.0}, 0.0, share).problems()
    assert sentence.startswith("The step size is 2.5 times the largest that is stable at the last positions")


def test_kernels_of_numpyro_have_their_own():
    with pytest.raises(Misuse, match=r"reports on the kernels of theory\.samplers, got NUTS"):
        diagnose(MCMC(NUTS(conjugate), num_warmup=1, num_samples=1))


@pytest.fixture(scope="module")
def logistic():
    """1000 rows, three coefficients; NUTS's means and standard deviations, and the minibatch model."""
    features = jax.random.normal(jax.random.key(0), (1000, 3))
    chances = jax.nn.sigmoid(features @ jnp.array([1.0, -2.0, 0.5]))
    labels = jax.random.bernoulli(jax.random.key(1), chances).astype(float)

    def model(size):
        slopes = numpyro.sample("slopes", Normal(jnp.zeros(3), 1).to_event(1))
        with numpyro.plate("rows", 1000, subsample_size=size) as rows:
            numpyro.sample("label", Bernoulli(logits=features[rows] @ slopes), obs=labels[rows])

    samples = run(NUTS(model), 1000, warmup=500, samples=4000).get_samples()["slopes"]
    return model, np.asarray(samples.mean(axis=0)), np.asarray(samples.std(axis=0))


@pytest.mark.slow
def test_a_control_variate_near_the_mode_gives_the_posterior_of_nuts(logistic):
    model, mean, deviation = logistic
    anchor = init_to_value(values={"slopes": mean})
    kernel = ControlVariateSGLD(model, step_size=3e-4, init_strategy=anchor)
    mcmc = run(kernel, 50, chains=4, warmup=1000, samples=50000)
    report, samples = diagnose(mcmc), np.asarray(mcmc.get_samples()["slopes"])
    assert report.problems() == [] and report.gradient_noise < 0.01
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.15 * deviation.min())
    np.testing.assert_allclose(samples.std(axis=0), deviation, rtol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step", "least"), [(SGLD, 1e-3, 1.6), (SGHMC, 1e-2, 5.0), (HarmonicLangevin, 0.1, 50.0)]
)
def test_plausible_steps_that_are_wrong_are_told(logistic, kind, step, least):
    """Variances come out as many times too large as 1 + ratio says, within a factor of two."""
    model, _, deviation = logistic
    with pytest.warns(UserWarning, match="gradient noise is"):
        mcmc = run(kind(model, step_size=step), 50, chains=4, warmup=1000, samples=20000)
    excess = np.mean(np.asarray(mcmc.get_samples()["slopes"]).var(axis=0) / deviation**2)
    ratio = diagnose(mcmc).gradient_noise
    assert excess > least and 1 + ratio > least
    if kind is SGLD:
        assert excess == pytest.approx(1 + ratio, rel=0.3)
