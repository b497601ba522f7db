"""Chains reduced as they come, against the stored draws of one chain at a time; stopping and going on."""

import io
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.errors import Misuse
from theory.mcmc.chains import (
    Chunk,
    Plan,
    advance,
    begin,
    check_key,
    covariance,
    finish,
    joint,
    log_mean_exp,
    mean,
    nonfinite,
    results,
    run_chains,
    trace,
)
from theory.mcmc.langevin import Langevin, StepResult
from theory.samplers.mala import MALA
from theory.samplers.preconditioned_sgld import PreconditionedSGLD
from theory.samplers.sghmc import SGHMC
from theory.samplers.sgld import SGLD
from theory.samplers.ula import ULA

KEY = jax.random.key(7)
START = {"a": jnp.array([0.3, -1.0]), "b": jnp.array(2.0)}
PLAN = Plan(warmup=5, samples=7, thin=3)


def quadratic(z):
    return 0.5 * (z["a"][0] ** 2 + 2 * z["a"][1] ** 2 + 0.5 * z["b"] ** 2)


def noisy(z, key):
    return quadratic(z) + z["b"] * jax.random.normal(key)


@dataclass(frozen=True, eq=False)
class Counter(Langevin):
    """z is the number of steps done."""

    def move(self, position, memory, slope, step, key, i):
        value, _ = slope(position + 1, key)
        return StepResult(position + 1, memory, value, jnp.ones(()))


def counted(plan, streams, potential_fn=jnp.sum, chunk=200):
    *_, last = run_chains(
        Counter(potential_fn=potential_fn), KEY, 2, plan, streams, jnp.zeros(1), chunk=chunk
    )
    return results(plan, streams, last)


def last_of(kernel, plan, streams, chains=2, start=START, key=KEY, **options):
    *_, last = run_chains(kernel, key, chains, plan, streams, start, **options)
    return last


def stored(kernel, step, plan, chain):
    """The positions kept of one chain, step by step."""
    state, kept = kernel.init(jax.random.key_data(jax.random.fold_in(KEY, chain)), plan.warmup, START), []
    for done in range(1, plan.warmup + plan.samples * plan.thin + 1):
        state = step(state)
        if done > plan.warmup and (done - plan.warmup) % plan.thin == 0:
            kept.append(state)
    assert len(kept) == plan.samples
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(float), *[state.z for state in kept])


def same_bits(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


STREAMS = {
    "mean": mean(lambda state: state.z),
    "share": mean(lambda state: state.z["b"] > 0),
    "covariance": covariance(lambda state: state.z),
    "average": log_mean_exp(lambda state: -30 * jnp.abs(state.z["a"])),
    "trace": trace(lambda state: {"z": state.z, "potential": state.potential_energy}),
    "nonfinite": nonfinite(),
}


@pytest.mark.parametrize("chains", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_streams_of_all_chains_are_those_of_the_stored_draws_of_each(chains):
    kernel = ULA(potential_fn=quadratic, step_size=0.2)
    outcome, step = results(PLAN, STREAMS, last_of(kernel, PLAN, STREAMS, chains)), jax.jit(kernel.sample)
    for chain in range(chains):
        samples = stored(kernel, step, PLAN, chain)
        flat = np.column_stack([samples["a"], samples["b"]])
        one = jax.tree.map(lambda leaf, chain=chain: leaf[chain], outcome)
        for name in START:
            np.testing.assert_allclose(one["trace"]["z"][name], samples[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(one["mean"][name], samples[name].mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one["share"], (samples["b"] > 0).mean(), rtol=1e-6)
        centre, spread = one["covariance"]
        np.testing.assert_allclose(centre, flat.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(spread, np.cov(flat.T), rtol=1e-5, atol=1e-6)
        average = np.log(np.exp(-30 * np.abs(samples["a"])).mean(axis=0))
        np.testing.assert_allclose(one["average"], average, rtol=1e-5)
        # the potential is that of the step's first gradient, one position before
        assert one["trace"]["potential"].shape == (PLAN.samples,)
        assert one["nonfinite"] == -1


def test_joint_streams_are_those_apart_of_a_value_that_is_computed_once():
    computed = []

    def value(state):
        computed.append(state)
        return jnp.tanh(state.z["a"])

    def parts(of):
        outcome = {"mean": mean(of), "average": log_mean_exp(lambda x: -of(x)), "spread": covariance(of)}
        return outcome | {"trace": trace(of)}

    kernel = ULA(potential_fn=quadratic, step_size=0.2)
    apart = results(PLAN, parts(value), last_of(kernel, PLAN, parts(value)))
    computed.clear()
    streams = {"all": joint(value, parts(lambda x: x)), "first": trace(lambda state: state.z["b"])}
    outcome = results(PLAN, streams, last_of(kernel, PLAN, streams))
    assert len(computed) == 2  # once for its shape, once in the program of all steps
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), outcome["all"], apart)
    assert outcome["first"].shape == (2, PLAN.samples)


@pytest.mark.parametrize("chunk", [4, 200])
@pytest.mark.parametrize("plan", [Plan(0, 1), Plan(3, 4), Plan(5, 2, 4)])
def test_which_steps_are_kept(plan, chunk):
    streams = {"z": trace(lambda state: state.z[0]), "i": trace(lambda state: state.i)}
    outcome = counted(plan, streams, chunk=chunk)
    assert plan.steps == plan.warmup + plan.samples * plan.thin
    wanted = plan.warmup + plan.thin * np.arange(1, plan.samples + 1)
    np.testing.assert_array_equal(outcome["z"], [wanted, wanted])
    np.testing.assert_array_equal(outcome["i"], outcome["z"])


def test_the_last_chunk_ends_with_the_plan():
    streams = {"z": mean(lambda state: state.z)}
    kernel = Counter(potential_fn=jnp.sum)
    chunks = list(run_chains(kernel, KEY, 3, Plan(1, 10), streams, jnp.zeros(1), chunk=4))
    assert [chunk.step for chunk in chunks] == [0, 4, 8, 11]
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.carry.state.z, np.full((3, 1), chunk.step))
        assert all(isinstance(leaf, np.ndarray) and len(leaf) == 3 for leaf in jax.tree.leaves(chunk.carry))


def test_a_limit_below_the_plan_stops_a_chain():
    kernel, streams = Counter(potential_fn=jnp.sum), {"z": mean(lambda state: state.z)}
    carry = begin(kernel, PLAN, streams, KEY, jnp.zeros(1))
    carry = advance(kernel, PLAN, streams, carry, jnp.arange(100), limit=9)
    assert carry.state.z == 9
    assert advance(kernel, PLAN, streams, carry, jnp.arange(9, 100)).state.z == PLAN.steps
    np.testing.assert_array_equal(finish(PLAN, streams, carry)["z"], [8.0])  # draw one, after 5 + 3 steps


@pytest.mark.parametrize(("broken", "wanted"), [(3, 0), (6, 1), (7, 2), (9, -1)])
def test_the_first_sample_not_finite_is_reported(broken, wanted):
    """Steps 4, 6 and 8 are kept of 2 + 3 × 2; the potential is not finite from the step `broken` on."""
    potential = lambda z: jnp.sum(jnp.where(z >= broken, jnp.inf, z))  # noqa: E731
    outcome = counted(Plan(2, 3, 2), {"lost": nonfinite()}, potential)
    np.testing.assert_array_equal(outcome["lost"], [wanted, wanted])


def test_a_position_not_finite_is_reported_and_the_first_counts():
    """A hole at step 4 alone: later draws are whole again."""
    potential = lambda z: jnp.sum(jnp.where(z == 4, jnp.nan, z))  # noqa: E731
    streams = {"lost": nonfinite(), "z": trace(lambda state: state.z)}
    np.testing.assert_array_equal(counted(Plan(2, 5), streams, potential)["lost"], [1, 1])
    schedule = lambda i: 1e13  # noqa: E731  (1e26 after two steps; a plain number would be refused)
    diverging = ULA(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=schedule)
    outcome = results(Plan(0, 6), streams, last_of(diverging, Plan(0, 6), streams, 2, jnp.ones(1)))
    lost = ~np.isfinite(outcome["z"][..., 0])
    assert lost.any(axis=1).all() and not lost[:, 0].any()
    assert np.all(outcome["lost"] <= lost.argmax(axis=1)) and np.all(outcome["lost"] > 0)


def round_trip(chunk):
    """A chunk as it comes back from disk: arrays without pickles."""
    leaves, structure = jax.tree.flatten(chunk.carry)
    file = io.BytesIO()
    np.savez(file, *leaves)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as saved:
        return Chunk(chunk.step, jax.tree.unflatten(structure, [saved[name] for name in saved.files]))


NOISY = SGLD(potential_fn=noisy, step_size=0.1)
KERNELS = {
    "mala": MALA(potential_fn=quadratic, step_size=lambda i: 0.5 / (1 + i)),
    "sghmc": SGHMC(potential_fn=noisy, step_size=0.3),
    "preconditioned": PreconditionedSGLD(potential_fn=noisy, step_size=0.1),
    "control variate": SGHMC(
        potential_fn=noisy, whole_potential_fn=quadratic, step_size=0.3, control_variate=True
    ),
}


SLOW = [
    pytest.param(name, (0, 1, 2, 3), marks=pytest.mark.slow) for name in ("mala", "sghmc", "preconditioned")
]


@pytest.mark.parametrize(("name", "killed"), [("mala", (1, 3)), ("control variate", (1,)), *SLOW])
def test_a_run_that_was_killed_ends_with_the_same_bits(name, killed):
    """26 steps in chunks of 10: killed at the start, in the draws, or when all was done."""
    chunks = list(run_chains(KERNELS[name], KEY, 3, PLAN, STREAMS, START, chunk=10))
    assert [chunk.step for chunk in chunks] == [0, 10, 20, 26]
    for number in killed:
        saved = round_trip(chunks[number])
        rest = list(run_chains(KERNELS[name], KEY, 3, PLAN, STREAMS, START, chunk=10, resume=saved))
        assert len(rest) == len(chunks) - 1 - number
        for one, other in zip(chunks[number + 1 :], rest, strict=True):
            assert one.step == other.step
            same_bits(one.carry, other.carry)
    same_bits(results(PLAN, STREAMS, round_trip(chunks[-1])), results(PLAN, STREAMS, chunks[-1]))
    assert not np.array_equal(chunks[1].carry.state.z["a"], chunks[3].carry.state.z["a"])


@pytest.mark.parametrize("chains", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_one_device_or_two(chains, monkeypatch):
    both = last_of(NOISY, PLAN, STREAMS, chains)
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one)
    alone = last_of(NOISY, PLAN, STREAMS, chains)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), both, alone)


@pytest.mark.slow
def test_a_chain_does_not_depend_on_how_many_there_are():
    few, many = (last_of(NOISY, PLAN, STREAMS, chains).carry for chains in (2, 5))
    np.testing.assert_array_equal(few.state.rng_key, many.state.rng_key[:2])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y[:2], rtol=1e-5, atol=1e-6), few, many)


def test_chains_and_keys_have_streams_of_their_own():
    """Noise of 6 chains of two keys, 40 000 numbers each: all pairs uncorrelated, shifted by one too."""
    plan, width = Plan(0, 200), 200
    kernel, streams = ULA(potential_fn=lambda z: 0.5 * jnp.sum(z**2)), {"z": trace(lambda state: state.z)}
    noise = []
    for key in (KEY, jax.random.key(8)):
        outcome = results(plan, streams, last_of(kernel, plan, streams, 6, jnp.zeros(width), key))["z"]
        noise.append(np.diff(outcome, axis=1) / np.sqrt(2e-3))
    rows = np.concatenate(noise).astype(float)
    for other in (rows, np.roll(rows, 1, axis=1), np.roll(rows, 1, axis=2)):
        first, second = rows[:, 1:].reshape(12, -1), other[:, 1:].reshape(12, -1)
        pairs = first @ second.T / first.shape[1]
        if other is rows:
            np.testing.assert_allclose(np.diag(pairs), 1.0, atol=0.05)
        assert np.abs(pairs - np.diag(np.diag(pairs))).max() < 4.5 / np.sqrt(first.shape[1])


def test_the_carry_of_a_reduction_does_not_grow_with_the_draws():
    def shapes(samples, streams):
        carry = jax.eval_shape(lambda: begin(KERNELS["sghmc"], Plan(0, samples), streams, KEY, START))
        return jax.tree.map(lambda leaf: leaf.shape, carry.accumulators)

    reductions = {name: stream for name, stream in STREAMS.items() if name != "trace"}
    assert shapes(10, reductions) == shapes(100_000, reductions)
    assert shapes(10, STREAMS) != shapes(100_000, STREAMS)


def test_one_draw_has_no_covariance():
    centre, spread = counted(Plan(0, 1), {"spread": covariance(lambda state: state.z)})["spread"]
    np.testing.assert_array_equal(centre, [[1.0], [1.0]])
    assert np.isnan(spread).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 5), "warmup must be at least 0, got -1"),
        ((0, 0), "samples must be at least 1, got 0"),
        ((0, 5, 0), "thin must be at least 1, got 0"),
    ],
)
def test_an_impossible_plan_is_refused(arguments, words):
    with pytest.raises(Misuse, match=words):
        Plan(*arguments)


def test_a_key_may_be_typed_or_plain_numbers():
    streams, plan = {"z": trace(lambda state: state.z)}, Plan(0, 3)
    kernel = ULA(potential_fn=quadratic, step_size=0.1)
    typed, plain = (last_of(kernel, plan, streams, key=key) for key in (KEY, jax.random.key_data(KEY)))
    same_bits(typed.carry, plain.carry)
    assert jax.tree.leaves(typed.carry.state.z)[0].shape[0] == 2


@pytest.mark.parametrize(
    ("key", "got"),
    [
        (jax.random.key(0, impl="rbg"), "one of rbg"),
        (jax.random.key_data(jax.random.key(0, impl="rbg")), r"keys of shape \(4,\)"),
        (jax.random.split(KEY, 3), r"keys of shape \(3,\)"),
        (jax.random.key_data(jax.random.split(KEY, 3)), r"keys of shape \(3, 2\)"),
    ],
)
def test_other_keys_are_refused(key, got):
    with pytest.raises(Misuse, match=f"a single key of jax's default generator .*, got {got}"):
        check_key(key)


def test_chains_refuse_them():
    key, kernel = jax.random.key(0, impl="rbg"), ULA(potential_fn=quadratic, step_size=0.1)
    with pytest.raises(Misuse, match="got one of rbg"):
        next(run_chains(kernel, key, 2, PLAN, {"z": mean(lambda state: state.z)}, START))


def test_misuse_is_refused():
    kernel, streams = KERNELS["sghmc"], {"z": mean(lambda state: state.z)}
    for name, chains, chunk in (("chains", 0, 5), ("chunk", 2, 0)):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got"):
            next(run_chains(kernel, KEY, chains, PLAN, streams, START, chunk=chunk))
    first = next(run_chains(kernel, KEY, 2, PLAN, streams, START))
    with pytest.raises(Misuse, match="done 0 of 26 steps"):
        results(PLAN, streams, first)
