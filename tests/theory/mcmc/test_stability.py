"""The largest curvature from below, the limits of the kernels, and what is refused before any sampling."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import Normal
from numpyro.infer import MCMC

from theory.errors import Misuse
from theory.mcmc.chains import Plan, mean, run_chains
from theory.mcmc.stability import curvature
from theory.samplers.control_variate_sgld import ControlVariateSGLD
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.mala import MALA
from theory.samplers.preconditioned_sgld import PreconditionedSGLD
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD
from theory.samplers.ula import ULA

KEY = jax.random.key(3)
CURVATURES = np.array([0.2, 1.0, 3.0, 8.0])
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
MATRIX = jnp.asarray(TURN @ np.diag(CURVATURES) @ TURN.T)


def quadratic(z):
    return 0.5 * z @ MATRIX @ z


def noisy(z, key):
    """Minibatches that are off in curvature by half, and in slope."""
    strength, pull = jax.random.split(key)
    return quadratic(z) * (1 + 0.5 * jax.random.normal(strength)) + 5 * jnp.sum(jax.random.normal(pull) * z)


def measure(potential, position=(0.3, -1.0, 0.2, 0.5), keys=200):
    slope = lambda z, key: jax.grad(potential)(z, key)  # noqa: E731
    one = lambda key: curvature(slope, jnp.asarray(position), key)  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, keys)))


def test_the_curvature_comes_from_below():
    exact = measure(lambda z, key: quadratic(z))
    assert (exact <= 8 * (1 + 1e-5)).all() and np.median(exact) > 0.99 * 8
    assert np.isfinite(exact).all()
    np.testing.assert_array_equal(measure(lambda z, key: -quadratic(z)), 0.0)
    np.testing.assert_array_equal(measure(lambda z, key: jnp.sum(z)), 0.0)  # no curvature at all


def test_minibatches_do_not_raise_it():
    """A quarter of the largest curvature is noise; no key in 200 exceeds it."""
    some = measure(noisy)
    assert (some <= 8).all() and np.median(some) > 0.3 * 8


def test_a_rule_for_reverse_mode_alone_serves():
    @jax.custom_vjp
    def half_square(z):
        return 4.0 * jnp.sum(z**2)

    half_square.defvjp(lambda z: (half_square(z), z), lambda z, given: (8.0 * given * z,))
    np.testing.assert_allclose(measure(lambda z, key: half_square(z), keys=3), 8.0, rtol=1e-5)


BOUNDED = {
    "ula": (ULA(potential_fn=quadratic), 2 / 8),
    "sgld": (SGLD(potential_fn=lambda z, key: quadratic(z)), 2 / 8),
    "control variate": (
        ControlVariateSGLD(potential_fn=lambda z, key: quadratic(z), whole_potential_fn=quadratic),
        2 / 8,
    ),
    "baoab": (SGHMC(potential_fn=quadratic), 2 / 8**0.5),
    "euler": (SGHMC(potential_fn=quadratic, friction=0.6, splitting="euler"), 0.6 / 8),
    "harmonic": (HarmonicLangevin(potential_fn=quadratic), 2 * np.arcsin(8**-0.5)),
}
START = jnp.asarray(np.ones(4) @ TURN.T)


@pytest.mark.parametrize("name", BOUNDED)
def test_the_limit_is_where_a_chain_runs_away(name):
    """From 100 along the stiffest direction: below the limit it comes down to the noise, above it goes up."""
    kernel, limit = BOUNDED[name]
    np.testing.assert_allclose(kernel.limit(8.0), limit)
    stiffest, margin = jnp.asarray(TURN[:, 3]), 0.5 if name == "euler" else 0.05  # its growth is slow

    @jax.jit
    @jax.vmap
    def far(step):
        mine = replace(kernel, step_size=step)
        state = mine.init(KEY, 0, 1e-3 * stiffest)._replace(z=100 * stiffest)
        return jax.lax.scan(lambda s, _: (mine.sample(s), None), state, length=600)[0].z

    below, above = np.linalg.norm(np.asarray(far(limit * jnp.array([1 - margin, 1 + margin])), float), axis=1)
    assert below < 30 and not above < 1e3


@pytest.mark.parametrize("name", BOUNDED)
def test_a_step_beyond_it_is_refused_and_by_how_much(name):
    kernel, limit = BOUNDED[name]
    kind = type(kernel).__name__
    with pytest.raises(Misuse, match=rf"step_size of {kind} is .*, 3(\.0\d)? times the largest"):
        replace(kernel, step_size=3 * limit).check(START)
    replace(kernel, step_size=0.98 * limit).check(START)


def test_one_chain_or_several():
    both = jnp.stack([START, START])
    for key, start in ((KEY, START), (jax.random.split(KEY), both)):
        with pytest.raises(Misuse, match=r"1\.1\d times the largest that is stable at the first position"):
            ULA(potential_fn=quadratic, step_size=0.28).init(key, 0, start)
    ULA(potential_fn=quadratic, step_size=lambda i: 0.28 / (1 + i)).check(START)  # a schedule passes


@pytest.mark.parametrize("kind", [MALA, PreconditionedSGLD])
def test_kernels_without_a_limit_take_any_step(kind):
    """MALA is exact at any; RMSprop's metric follows the gradients."""
    assert kind(potential_fn=quadratic).limit(1e9) == np.inf
    kind(potential_fn=quadratic, step_size=10.0).check(START)


def test_a_scale_counts():
    """In the scaled coordinates the curvature is 1: the limit is 2, not 2/100."""
    stiff = lambda z: 50 * jnp.sum(z**2)  # noqa: E731
    ULA(potential_fn=stiff, step_size=1.9, scale=jnp.full(2, 0.1)).check(jnp.ones(2))
    with pytest.raises(Misuse, match=r"1\.05 times the largest that is stable .* \(2, for a curvature of 1 "):
        ULA(potential_fn=stiff, step_size=2.1, scale=jnp.full(2, 0.1)).check(jnp.ones(2))


def test_numpyro_is_refused_before_it_samples():
    """Sixty rows, six at a time: a posterior precision of 61."""

    def model():
        z = numpyro.sample("z", Normal(0, 1))
        with numpyro.plate("rows", 60, subsample_size=6):
            numpyro.sample("y", Normal(z, 1), obs=jnp.ones(6))

    chains = dict(num_warmup=2, num_samples=2, num_chains=2, chain_method="vectorized", progress_bar=False)
    with pytest.raises(Misuse, match=r"SGLD is 0.1, 3.05 times .* \(0.0328, for a curvature of 61 there\)"):
        MCMC(SGLD(model, step_size=0.1), **chains).run(KEY)
    MCMC(SGLD(model, step_size=0.03), **chains).run(KEY)


def test_chains_are_refused_before_they_start():
    plan, streams = Plan(0, 2), {"z": mean(lambda state: state.z)}
    with pytest.raises(Misuse, match="4 times the largest that is stable"):
        next(run_chains(ULA(potential_fn=quadratic, step_size=1.0), KEY, 2, plan, streams, START))
    lost = ULA(potential_fn=lambda z: jnp.sum(jnp.log(z)), step_size=0.1)
    with pytest.raises(Misuse, match="potential of ULA is not finite at the first position"):
        next(run_chains(lost, KEY, 2, plan, streams, -jnp.ones(2)))


def test_what_is_traced_passes():
    """Inside a program nothing can be refused: the gate finds it afterwards."""
    kernel = ULA(potential_fn=quadratic, step_size=100.0)
    jax.jit(lambda key: kernel.init(key, 0, START).z)(KEY)
    jax.jit(lambda start: kernel.check(start))(START)
    jax.vmap(lambda step: replace(kernel, step_size=step).init(KEY, 0, START).z)(jnp.array([100.0]))
