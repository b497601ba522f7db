"""Diagnostics against ArviZ's numbers, chains with known faults, quadrature and known noise."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import split_gelman_rubin

from theory.errors import Misuse
from theory.mcmc.diagnostics import (
    Diagnostics,
    Thresholds,
    bulk_ess,
    diagnose,
    drift,
    first_nonfinite,
    hypothetical_acceptance,
    rank_normalised_rhat,
    tail_ess,
)
from theory.samplers.mala import MALA


def autoregressive(seed, coefficients, samples):
    """Four stationary AR(1) chains for each coefficient, shape (4, draws, coefficients)."""
    noise = np.random.default_rng(seed).normal(size=(4, samples, len(coefficients)))
    coefficients = np.asarray(coefficients)
    values = np.empty_like(noise)
    values[:, 0] = noise[:, 0] / np.sqrt(1 - coefficients**2)
    for i in range(1, samples):
        values[:, i] = coefficients * values[:, i - 1] + noise[:, i]
    return values


def odd_and_faulty():
    """An odd number of draws; a shifted chain, a wide chain, a heavy tail, slow mixing."""
    values = autoregressive(0, [-0.5, 0.0, 0.5, 0.9, 0.99], 501)
    values[0, :, 1] += 0.3
    values[1, :, 2] *= 2
    values[..., 3] = np.exp(values[..., 3])
    return values


# ArviZ 0.23.4, numpy 2.4.6: arviz.rhat(x), arviz.ess(x), arviz.ess(x, method="tail") of each column x
ARVIZ = {
    "faulty": (
        odd_and_faulty,
        [1.0032958871795732, 1.0031685366166172, 1.057566360545853, 1.0492250428571233, 1.35061433162098],
        [6602.059991327962, 2044.402011047182, 687.7865066451967, 77.96865191942211, 9.552040116482962],
        [1686.3638470158344, 1888.3804686215371, 117.82949177820626, 179.2743440057267, 21.111092947807812],
    ),
    "short": (
        lambda: autoregressive(1, [0.0, 0.8, -0.9], 10),
        [1.0537393779135777, 1.8194554013493147, 1.1830432693541182],
        [48.583565378233175, 12.835567852502288, 64.08239965311849],
        [19.704433497536947, 19.70443349753694, 30.0751879699248],
    ),
    "tied": (
        lambda: np.round(autoregressive(2, [0.0, 0.7], 200)),
        [0.9989312121577776, 1.040073163904514],
        [818.535944080319, 193.10947871048717],
        [824.2969678260079, 330.3536958988946],
    ),
}


@pytest.mark.parametrize("case", ARVIZ)
def test_the_numbers_of_arviz(case):
    make, rhat, bulk, tail = ARVIZ[case]
    samples = make()
    np.testing.assert_allclose(rank_normalised_rhat(samples), rhat, rtol=1e-10)
    np.testing.assert_allclose(bulk_ess(samples), bulk, rtol=1e-10)
    np.testing.assert_allclose(tail_ess(samples), tail, rtol=1e-10)


def test_known_effective_draws():
    coefficients = np.array([0.0, 0.5, 0.9])
    samples = autoregressive(3, coefficients, 20_000)
    wanted = 80_000 * (1 - coefficients) / (1 + coefficients)
    np.testing.assert_allclose(bulk_ess(samples), wanted, rtol=0.05)
    assert np.all(rank_normalised_rhat(samples) < 1.005)


def test_the_worst_of_many_observables_of_exact_draws_passes_and_exceeds_the_usual_limit():
    samples = np.random.default_rng(4).normal(size=(4, 100, 500))
    assert 1.01 < rank_normalised_rhat(samples).max() < Thresholds().rhat


@pytest.mark.parametrize("samples", [50, 200, 1000])
def test_one_stuck_chain_is_caught_wherever_it_is_stuck(samples):
    places = np.linspace(-3, 3, 49)
    values = np.random.default_rng(5).normal(size=(4, samples, len(places)))
    values[2] = places
    assert np.all(rank_normalised_rhat(values) > Thresholds().rhat)


def test_chains_all_stuck_at_different_places():
    samples = np.broadcast_to(np.arange(4.0)[:, None], (4, 100))
    assert rank_normalised_rhat(samples) > 1000


def test_a_shifted_chain_a_wide_chain_and_a_trend_are_caught():
    shifted, wide, trend = np.random.default_rng(6).normal(size=(3, 4, 500))
    shifted[1] += 1
    wide[1] *= 3
    trend += np.linspace(-1, 1, 500)
    assert all(rank_normalised_rhat(samples) > 1.05 for samples in (shifted, wide, trend))
    assert split_gelman_rubin(wide) < 1.01  # only folding sees the width


def test_ranks_do_not_mind_a_monotone_change_of_scale():
    samples = autoregressive(7, [0.5], 200)
    np.testing.assert_array_equal(bulk_ess(samples), bulk_ess(np.exp(5 * samples)))
    assert tail_ess(samples) == tail_ess(2 * samples - 7)


def test_what_is_undefined_is_nan_and_spoils_no_neighbour():
    samples = np.random.default_rng(8).normal(size=(4, 100, 5))
    clean = samples.copy()
    samples[..., 1] = 0.1
    samples[1, 3, 2] = np.nan
    samples[0, 0, 3] = np.inf
    for measure in (rank_normalised_rhat, bulk_ess, tail_ess):
        assert np.isnan(measure(samples)).tolist() == [False, True, True, True, False]
        np.testing.assert_array_equal(measure(samples)[[0, 4]], measure(clean)[[0, 4]])


def test_a_tail_without_draws_is_nan():
    samples = np.minimum(np.random.default_rng(9).normal(size=(4, 100)), 1.0)
    assert np.isnan(tail_ess(samples)) and bulk_ess(samples) > 100


def test_too_few_draws_are_nan():
    samples = np.random.default_rng(10).normal(size=(4, 10))
    assert np.isnan(rank_normalised_rhat(samples[:, :3])) and rank_normalised_rhat(samples[:, :4]) > 0
    for measure in (bulk_ess, tail_ess):
        assert np.isnan(measure(samples[:, :9])) and measure(samples) > 0


def test_observables_of_any_shape_are_taken_one_by_one():
    samples = autoregressive(11, [0.0, 0.3, 0.6, 0.9, -0.3, -0.6], 60)
    for measure in (rank_normalised_rhat, bulk_ess, tail_ess):
        together = measure(samples.reshape(4, 60, 2, 3))
        alone = [[float(measure(samples[..., 3 * i + j])) for j in range(3)] for i in range(2)]
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_first_draw_that_is_not_finite():
    samples = np.zeros((3, 10, 2))
    assert first_nonfinite(samples) is None
    samples[0, 7, 1], samples[2, 4, 0], samples[1, 4, 1] = np.nan, -np.inf, np.nan
    assert first_nonfinite(samples) == (1, 4)
    tree = {"a": jnp.zeros((3, 10)), "b": jnp.zeros((3, 10, 2)).at[2, 1, 0].set(jnp.inf)}
    assert first_nonfinite(tree) == (2, 1)


# Gaussians of precision p, where acceptance is an integral over position and noise

NODES = np.linspace(-8, 8, 801)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


def exact_langevin(precision, step):
    here, noise = NODES[:, None] / np.sqrt(precision), NODES[None]
    there = here - step * precision * here + np.sqrt(2 * step) * noise
    back = (here - there + step * precision * there) / np.sqrt(2 * step)
    gained = precision * (here**2 - there**2) / 2 + (noise**2 - back**2) / 2
    return WEIGHTS @ np.exp(np.minimum(0, gained)) @ WEIGHTS


def exact_leapfrog(precision, step):
    here, momentum = NODES[:, None] / np.sqrt(precision), NODES[None]
    pushed = momentum - step / 2 * precision * here
    there = here + step * pushed
    end = pushed - step / 2 * precision * there
    gained = precision * (here**2 - there**2) / 2 + (momentum**2 - end**2) / 2
    return WEIGHTS @ np.exp(np.minimum(0, gained)) @ WEIGHTS


PRECISION = 4.0


def gaussian(z):
    return PRECISION / 2 * jnp.sum(z**2)


def stationary(count, seed=0):
    return jax.random.normal(jax.random.key(seed), (count,)) / jnp.sqrt(PRECISION)


def acceptance_of(steps, count, scale=None, splitting="langevin"):
    """Hypothetical acceptance at exact draws, for several steps in one program."""
    at, widths = stationary(count), None if scale is None else jnp.asarray(scale)
    key = jax.random.key(1)

    def one(step):
        return hypothetical_acceptance(gaussian, at, step, widths, key, splitting=splitting)

    return jax.jit(jax.vmap(one))(jnp.asarray(steps))


@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize(
    ("splitting", "exact", "steps"),
    [("langevin", exact_langevin, [0.05, 0.2, 0.4]), ("baoab", exact_leapfrog, [0.3, 0.6, 0.9])],
)
def test_acceptance_against_quadrature(splitting, exact, steps, scale):
    wanted = [exact(PRECISION * (scale or 1.0) ** 2, step) for step in steps]
    np.testing.assert_allclose(
        acceptance_of(steps, 40_000, scale, splitting), wanted, atol=0.006
    )  # over 3 errors


@pytest.mark.parametrize("splitting", ["langevin", "baoab"])
def test_acceptance_falls_with_the_step_from_one(splitting):
    falling = acceptance_of([1e-4, 0.1, 0.3, 0.45, 2.0], 2000, splitting=splitting).tolist()
    assert falling[0] > 0.9999
    assert all(left > right for left, right in pairwise(falling))
    assert falling[-1] < 0.2


def test_it_is_the_acceptance_of_mala():
    kernel = MALA(potential_fn=lambda z: gaussian(z["a"]) + jnp.sum(z["b"] ** 4), step_size=0.15)

    def move(state, _):
        state = kernel.sample(state)
        return state, (state.z, state.accept_prob)

    @jax.jit
    def run(keys):
        first = kernel.init(keys, 0, {"a": jnp.zeros((16, 2)), "b": jnp.full((16,), 0.3)})
        return jax.lax.scan(move, first, None, length=2100)[1]

    path, chances = run(jax.random.split(jax.random.key(3), 16))
    at = jax.tree.map(lambda leaf: leaf[100:].reshape(-1, *leaf.shape[2:]), path)
    got = hypothetical_acceptance(kernel.potential_fn, at, 0.15, None, jax.random.key(4))
    assert 0.6 < float(got) < 0.9
    np.testing.assert_allclose(got, jnp.mean(chances[100:]), atol=0.006)


def test_a_proposal_that_is_not_finite_counts_as_refused():
    at = jnp.array([0.0, jnp.nan, 0.0, jnp.inf])
    for splitting in ("langevin", "baoab"):
        got = hypothetical_acceptance(gaussian, at, 1e-6, None, jax.random.key(5), splitting=splitting)
        np.testing.assert_allclose(got, 0.5, atol=1e-4)


def test_a_potential_of_minibatches_is_refused():
    with pytest.raises(Misuse, match="whole potential"):
        hypothetical_acceptance(
            lambda z, key: gaussian(z), stationary(2), 0.1, None, jax.random.key(0), splitting="baoab"
        )


def test_drift_in_a_metric():
    rng = np.random.default_rng(13)
    a, b, metric = rng.normal(size=(4, 5)), rng.normal(size=(4, 5, 2, 3)), rng.uniform(1, 2, size=(2, 3))
    start = {"a": jnp.array(0.5), "b": jnp.ones((2, 3))}
    positions = jax.tree.map(jnp.asarray, {"a": a, "b": b})
    plain = np.sqrt((a - 0.5) ** 2 + ((b - 1) ** 2).sum((-2, -1)))
    np.testing.assert_allclose(drift(positions, start), plain, rtol=1e-5)
    weighted = np.sqrt(7 * (a - 0.5) ** 2 + (metric * (b - 1) ** 2).sum((-2, -1)))
    got = drift(positions, start, {"a": jnp.array(7.0), "b": jnp.asarray(metric)})
    np.testing.assert_allclose(got, weighted, rtol=1e-5)
    assert float(drift(start, start)) == 0


# the verdict

GOOD = Diagnostics(
    rhat=1.02, bulk_ess=400.0, tail_ess=200.0, acceptance=0.9, halved_step=0.03,
    gradient_noise=0.01, drift=3.0, base_loss_change=0.1, nonfinite=None,
)  # fmt: skip


def test_a_good_chain_has_no_problems():
    assert GOOD.problems(Thresholds()) == [] and GOOD.converged(Thresholds())


@pytest.mark.parametrize(
    ("name", "limit", "sign"),
    [
        ("rhat", 1.05, 1),
        ("bulk_ess", 100.0, -1),
        ("tail_ess", 50.0, -1),
        ("acceptance", 0.5, -1),
        ("halved_step", 0.1, 1),
        ("gradient_noise", 0.1, 1),
    ],
)
def test_each_limit(name, limit, sign):
    for fine in (limit, limit * (1 - sign * 0.01)):
        assert replace(GOOD, **{name: fine}).converged(Thresholds())
    for bad in (limit * (1 + sign * 0.01), np.nan, sign * np.inf):
        (sentence,) = replace(GOOD, **{name: bad}).problems(Thresholds())
        assert f"is {bad:.3g}" in sentence and f"{limit:g}: " in sentence and sentence.endswith(".")
        assert ("not measured" in sentence) == np.isnan(bad)
        assert replace(GOOD, **{name: bad}).converged(Thresholds(**{name: None}))
    stricter = Thresholds(**{name: limit * (1 - sign * 0.5)})
    assert not replace(GOOD, **{name: limit}).converged(stricter)


def test_draws_that_are_not_finite_are_a_problem_whatever_the_limits():
    lenient = Thresholds(*[None] * 6)
    (sentence,) = replace(GOOD, nonfinite=(2, 17)).problems(lenient)
    assert "Sample 17 of chain 2" in sentence


def test_health_is_json():
    lost = replace(GOOD, nonfinite=(2, 17))
    assert json.loads(json.dumps(asdict(lost))) == {**asdict(lost), "nonfinite": [2, 17]}


def test_diagnose_takes_the_worst_observable():
    samples = np.asarray(odd_and_faulty(), dtype=np.float32)
    health = diagnose(jnp.asarray(samples), acceptance=jnp.asarray(0.75), drift=np.float32(2))
    assert health.rhat == rank_normalised_rhat(samples)[4] and health.tail_ess == tail_ess(samples)[4]
    assert health.bulk_ess == bulk_ess(samples)[4] and health.nonfinite is None
    assert (health.acceptance, health.drift) == (0.75, 2)
    assert np.isnan([health.halved_step, health.gradient_noise, health.base_loss_change]).all()
    problems = health.problems(Thresholds())
    assert len(problems) == 5 and sum("not measured" in sentence for sentence in problems) == 2


def test_diagnose_reports_one_constant_and_one_lost_observable():
    samples = np.random.default_rng(14).normal(size=(4, 100, 3))
    assert diagnose(samples).rhat < 1.05
    samples[..., 1] = 2.0
    assert np.isnan([diagnose(samples).rhat, diagnose(samples).bulk_ess, diagnose(samples).tail_ess]).all()
    samples[3, 5, 0] = np.nan
    assert diagnose(samples).nonfinite == (3, 5)
