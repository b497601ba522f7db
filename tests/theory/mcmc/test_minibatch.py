"""The sites of a model: what a position lacks would be drawn from its prior in every step, and is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Bernoulli, Cauchy, LogNormal, MixtureSameFamily, Normal, Poisson
from numpyro.distributions import CategoricalProbs as Categorical
from numpyro.infer import MCMC, init_to_value

from theory.errors import Misuse
from theory.mcmc.minibatch import first_position, init_to_centre
from theory.samplers.control_variate_sgld import ControlVariateSGLD
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.mala import MALA
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD
from theory.samplers.ula import ULA

ZERO = jnp.zeros(())


def pair():
    """y = 3 of N(a + b, 1): both have mean 1 and variance 2/3."""
    a, b = numpyro.sample("a", Normal(0, 1)), numpyro.sample("b", Normal(0, 1))
    numpyro.sample("y", Normal(a + b, 1), obs=3.0)


def discrete():
    k = numpyro.sample("k", Bernoulli(0.5))
    numpyro.sample("mu", Normal(3.0 * k, 1))


def summed():
    """The same with k summed out: variance 1 + 9/4."""
    weights = Categorical(jnp.array([0.5, 0.5]))
    numpyro.sample("mu", MixtureSameFamily(weights, Normal(jnp.array([0.0, 3.0]), 1)))


def random_param():
    numpyro.sample("a", Normal(numpyro.param("centre", lambda key: jax.random.normal(key)), 1))


def sample(kernel, start, chains=400, steps=100):
    mcmc = MCMC(
        kernel, num_warmup=50, num_samples=steps, num_chains=chains, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    start = start and {name: jnp.full(chains, value) for name, value in start.items()}
    mcmc.run(jax.random.key(0), init_params=start)
    return {name: np.asarray(leaf, float) for name, leaf in mcmc.get_samples(group_by_chain=True).items()}


@pytest.mark.parametrize("kernel", [SGLD, MALA, ULA, SGHMC])
@pytest.mark.parametrize(
    ("model", "start", "words"),
    [
        (pair, {"a": ZERO}, "missing: b; unknown: none"),
        (pair, {"a": ZERO, "b": ZERO, "c": ZERO, "y": ZERO}, "missing: none; unknown: c, y"),
        (pair, {"A": ZERO}, "missing: a, b; unknown: A"),
        (
            pair,
            {"a": ZERO, "b": jnp.zeros(3)},
            r"Site 'b' has unconstrained values of shape \(\), got \(3,\)",
        ),
        (pair, ZERO, "The first position of a model is a dict"),
        (discrete, {"mu": ZERO}, "Site 'k' is discrete, which no gradient moves"),
        (discrete, {"mu": ZERO, "k": ZERO}, "Site 'k' is discrete"),
        (discrete, None, "Site 'k' is discrete"),
        (random_param, {"a": ZERO}, "Param 'centre' would be drawn anew in every step"),
    ],
)
def test_a_position_that_does_not_fit_the_model_is_refused(kernel, model, start, words):
    with pytest.raises(Misuse, match=words):
        kernel(model, step_size=0.1).init(jax.random.key(0), 0, start)


def test_a_count_is_discrete_too():
    with pytest.raises(Misuse, match="Site 'count' is discrete"):
        ULA(lambda: numpyro.sample("count", Poisson(3.0))).init(jax.random.key(0), 0, None)


def test_whole_positions_give_the_right_posterior(agree):
    samples = sample(MALA(pair, step_size=0.5), {"a": 0.0, "b": 0.0})
    for name in ("a", "b"):
        agree(samples[name].mean(axis=1), 1.0, against=[1.55])
        agree(((samples[name] - 1) ** 2).mean(axis=1), 2 / 3, against=[0.7**2])


@pytest.mark.slow
def test_a_discrete_site_summed_out_gives_the_right_posterior(agree):
    mu = sample(MALA(summed, step_size=1.0), None, steps=200)["mu"]
    agree(mu.mean(axis=1), 1.5)
    agree(((mu - 1.5) ** 2).mean(axis=1), 1 + 9 / 4, against=[1.09**2])


def priors():
    numpyro.sample("normal", Normal(2.0, 3.0).expand([2]).to_event(1))
    numpyro.sample("positive", LogNormal(0.5, 1.0))
    numpyro.sample("heavy", Cauchy(5.0, 1.0))


@pytest.mark.slow
def test_chains_whose_first_position_has_a_meaning_start_at_the_centre_of_the_prior():
    """Means, of the constrained values; the median where there is no mean."""
    keys = jax.random.split(jax.random.key(0), 2)
    for kernel in (HarmonicLangevin(priors), SGLD(priors, control_variate=True)):
        z = kernel.init(keys, 0, None).z
        np.testing.assert_allclose(z["normal"], np.full((2, 2), 2.0), rtol=1e-6)
        np.testing.assert_allclose(z["positive"], np.full(2, 1.0), rtol=1e-5)  # log of e^{1/2 + 1/2}
        np.testing.assert_allclose(z["heavy"], np.full(2, 5.0), atol=2)
    z = SGLD(priors).init(keys, 0, None).z
    assert len(np.unique(z["normal"])) == 4 and np.abs(z["normal"]).max() < 2  # NumPyro's own default


def test_a_strategy_of_numpyro_is_heeded():
    strategy = init_to_value(values={"a": 0.3, "b": -0.2})
    z = ControlVariateSGLD(pair, init_strategy=strategy).init(jax.random.key(0), 0, None).z
    assert jax.tree.map(float, z) == {"a": pytest.approx(0.3), "b": pytest.approx(-0.2)}
    moved = first_position(pair, jax.random.key(1), init_to_centre, (), {}, whole=True)
    assert jax.tree.map(float, moved) == {"a": 0.0, "b": 0.0}


def steep():
    """Curvature 1 + 4 cosh(2z): 5 at the centre of the prior, 110 at |z| = 2."""
    z = numpyro.sample("z", Normal(0, 1))
    numpyro.factor("wall", -jnp.cosh(2 * z))


def test_stability_is_not_asked_at_a_random_place():
    """Neither the refusal nor its absence depends on the key."""
    for number in range(3):
        ULA(steep, step_size=0.35).init(jax.random.key(number), 0, None)
    with pytest.raises(Misuse, match=r"or start elsewhere \(init_params\)"):
        ULA(steep, step_size=0.5).init(jax.random.key(0), 0, None)
