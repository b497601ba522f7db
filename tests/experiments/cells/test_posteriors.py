"""Sampled posteriors of a tiny comparison: what is kept, and that it is what was asked for."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from experiments.cells import chains as chain
from experiments.cells import posteriors as langevin
from experiments.cells.programs import Executor
from experiments.design import random_streams
from experiments.design.sampling import Sampling
from experiments.studies import weird_generalisation as study
from models.network import build, first
from theory.base import Dataset, mean_loss
from theory.divergence.kl import answers_at, kl
from theory.errors import Misuse
from theory.mcmc.chains import Plan
from theory.mcmc.diagnostics import Thresholds
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import Proximal

COLD, WARM = 1e-4, 1e-3
TIMES = {"langevin-posterior": (0.0, 0.01, 0.02), "adam-gibbs": (0.0, 0.001, 0.002)}
SETS = ("langevin-posterior/T=0.0001", "langevin-posterior/T=0.001", "adam-gibbs/T=0.0001")
ONLY = Thresholds(None, None, None, acceptance=0.99, halved_step=None, gradient_noise=None)
SAMPLING = Sampling(
    (COLD, WARM), *TIMES.values(), plan=Plan(40, 30, 1), chains=4, rounds=1, seeds=2, thresholds=ONLY
)
SMALL = {"pretraining_steps": 1, "n": 6, "batch": 4, "width": 8, "doses": (1, 2), "repeats": 1, "seeds": 3}


def trained(network, process):
    """Fitted to documents of the process: what noise costs is told of a network that has learned."""
    tokens = process.distribution().sample(jax.random.key(5), 256)
    documents = Dataset(tokens, jnp.ones(tokens.shape, bool))
    optimizer = optax.adam(0.01)

    def step(carry, _):
        params, state = carry
        slope = jax.grad(lambda params: mean_loss(network.with_params(params), documents))(params)
        updates, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = network.params, optimizer.init(network.params)
    return network.with_params(jax.jit(lambda: jax.lax.scan(step, start, length=400)[0][0])())


@pytest.fixture(scope="module")
def bench():
    shape = {"layers": 1, "heads": 2, "activation": "gelu"}  # smooth: such short chains step over no kinks
    config = replace(study.PRESETS["smoke"], finetuned_topics=("0",), **shape, **SMALL)
    comparison = replace(study.comparison(config), sampling=SAMPLING)
    process = comparison.process
    network = first(build(comparison.shape, process.vocabulary, process.length, [0]))
    return Executor(comparison, trained(network, process))


@pytest.fixture(scope="module")
def arrays(bench):
    told, failure = bench.run("langevin", bench.comparison.arms[0], bench.template)
    assert failure == ""
    return told


@pytest.fixture(scope="module")
def contexts(bench):
    """Tokens, and where they are answered."""
    return bench._contexts(bench.comparison.arms[0])[:2]


@pytest.fixture(scope="module")
def data(bench):
    """D' of every finetuning seed."""
    return bench.written.data(bench.comparison.arms[0], bench.template)[0]


def one(data, seed):
    return jax.tree.map(lambda leaf: leaf[seed], data)


def answers(bench, contexts, predictor):
    tokens, where = contexts
    return answers_at(predictor, jnp.asarray(tokens), bench.comparison.process.answer_tokens)[where]


@pytest.fixture(scope="module")
def metrics(bench, data):
    """Λ by theory and finetuning seed."""
    key = jax.random.fold_in(jax.random.key(bench.comparison.seed), random_streams.METRIC)
    adam = jax.jit(AdamGibbs(batch=bench.comparison.batch).metric)
    iso = jax.tree.map(jnp.ones_like, bench.template.params)
    moments = [adam(bench.template, one(data, seed), key) for seed in range(2)]
    return {"langevin-posterior": [iso, iso], "adam-gibbs": moments}


def test_every_set_keeps_its_ladders_and_their_health(bench, arrays, contexts):
    kinds = (
        "ladder",
        "gamma",
        "betas",
        "times",
        "steps",
        "health",
        "problems",
        "chains",
        "tuning",
        "reasons",
    )
    assert set(arrays) == {f"{kind}/{name}" for kind in (*kinds, "clock") for name in SETS}
    count = len(contexts[1][0])
    for name in SETS:
        rungs = len(TIMES[name.split("/")[0]])
        shapes = [(2, rungs, count, 4), (2,), (rungs,), (rungs,), (2, rungs), (2, rungs, 8)]
        shapes += [(2, rungs)] * 2 + [(2, rungs, 2), (2, rungs)]
        assert [arrays[f"{kind}/{name}"].shape for kind in kinds] == shapes
        np.testing.assert_allclose(np.exp(arrays[f"ladder/{name}"]).sum(axis=-1), 1, atol=1e-5)


def test_strengths_are_told_by_their_time(arrays, data):
    counted = float(np.asarray(data.mask)[0].sum())
    assert counted > 1
    for name in SETS:
        times = arrays[f"times/{name}"]
        assert tuple(times) == TIMES[name.split("/")[0]]
        gamma = arrays[f"gamma/{name}"].mean()
        np.testing.assert_allclose(arrays[f"betas/{name}"], times * gamma / counted, rtol=1e-6)
        assert (np.diff(arrays[f"steps/{name}"], axis=1) < 0).all()  # the stronger, the stiffer


def test_the_pilot_takes_the_longest_good_step_and_says_why(bench, arrays):
    """Three strengths are neighbours: they share the share of the limit that the strongest one took."""
    shares = langevin.SHARES
    for name in SETS:
        steps, reasons = arrays[f"steps/{name}"], arrays[f"reasons/{name}"]
        acceptance, warmup = np.moveaxis(arrays[f"pilot/{name}"], -1, 0)
        share = np.sin(steps[:, 0] / 2)  # at τ = 0 nothing bends but the prior
        assert np.isclose(share[:, None], shares, rtol=1e-6).any(axis=1).all()
        assert (acceptance == acceptance[:, :1]).all()
        assert ((acceptance[:, 0] >= 0.6) | np.isclose(share, shares[-1], rtol=1e-6)).all()
        np.testing.assert_array_equal(warmup, np.ceil(6 / steps))
        for place in np.ndindex(steps.shape):
            told = f"h = {steps[place]:.3g}", f"acceptance {acceptance[place]:.2f}"
            assert all(part in reasons[place] for part in told)


def rows_run(bench, monkeypatch):
    """Every row that a run hands to the chains' program, in order, and what comes back."""
    seen, real = [], bench.posteriors.programs.run

    def spy(*arguments):
        out = real(*arguments)
        seen.append((arguments[3:], out))
        return out

    monkeypatch.setattr(bench.posteriors.programs, "run", spy)
    bench.run("langevin", bench.comparison.arms[0], bench.template)
    return seen


def test_every_other_chain_takes_half_the_step_of_the_same_posterior(bench, arrays, data, monkeypatch):
    """Nine posteriors a batch: one of the pilot, then four of four chains for each posterior; twice, for
    two D'. All streams differ."""
    seen = rows_run(bench, monkeypatch)
    assert len(seen) == 2 * (1 + 4)
    counted = np.asarray(data.mask)[0].sum()
    keys = [row for (_, *_, rows), _ in seen for row in rows]
    assert len(np.unique(np.stack(keys), axis=0)) == 90
    for seed in range(2):
        batches = [arguments for arguments, _ in seen[5 * seed + 1 : 5 * seed + 5]]
        assert all(tuple(span) == (0, SAMPLING.plan.steps) for span, *_ in batches)
        beta, gamma, step = (np.concatenate([one[2 + k] for one in batches]).reshape(9, 4) for k in range(3))
        told = {
            kind: np.concatenate([arrays[f"{kind}/{name}"][seed] for name in SETS]) for kind in ("steps",)
        }
        np.testing.assert_allclose(step[:, ::2], np.repeat(told["steps"][:, None], 2, axis=1), rtol=1e-6)
        np.testing.assert_allclose(step[:, 1::2], step[:, ::2] / 2, rtol=1e-6)
        wanted = np.repeat([arrays[f"gamma/{name}"][seed] for name in SETS], 3)
        np.testing.assert_allclose(gamma, np.repeat(wanted[:, None], 4, axis=1), rtol=1e-6)
        times = np.concatenate([TIMES[name.split("/")[0]] for name in SETS])
        np.testing.assert_allclose(beta * counted / gamma, np.repeat(times[:, None], 4, axis=1), rtol=1e-5)
        tokens = np.concatenate([np.asarray(one[1].tokens) for one in batches])
        assert (tokens == np.asarray(data.tokens)[seed]).all()


def test_what_misses_the_gate_gets_more_chains_and_is_judged_with_all(bench, arrays):
    """A second round samples those posteriors alone, with streams of their own, and pools the chains."""
    posteriors = bench.posteriors
    before, posteriors.sampling = posteriors.sampling, replace(SAMPLING, rounds=2)
    try:
        told, _ = bench.run("langevin", bench.comparison.arms[0], bench.template)
    finally:
        posteriors.sampling = before
    for name in SETS:
        missed = arrays[f"problems/{name}"] != ""
        assert (arrays[f"chains/{name}"] == 4).all()
        np.testing.assert_array_equal(told[f"chains/{name}"], np.where(missed, 8, 4))
        ladders = told[f"ladder/{name}"], arrays[f"ladder/{name}"]
        np.testing.assert_array_equal(ladders[0][~missed], ladders[1][~missed])
        assert (ladders[0][missed] != ladders[1][missed]).any(axis=(-1, -2)).all()
        # the worst of more chains cannot be better
        assert (told[f"health/{name}"][..., 3] <= arrays[f"health/{name}"][..., 3]).all()
    assert sum((told[f"chains/{name}"] == 8).sum() for name in SETS) > 0


def test_the_temperature_is_what_the_prior_costs(bench, arrays, metrics):
    """On other documents, networks drawn as w0 + (γΛ)^-½ ξ in opposite pairs are T nats from the base."""
    network = bench.template
    tokens = bench.comparison.process.distribution().sample(jax.random.key(99), 100)
    base = network.predict(tokens)
    flat, back = ravel_pytree(network.params)
    costs = jax.jit(
        lambda rows: jax.lax.map(
            lambda row: jnp.mean(kl(base, network.with_params(back(row)).predict(tokens))), rows
        )
    )
    for name in SETS:
        theory, cost = name.split("/")[0], float(name.split("=")[1])
        for seed in range(2):
            units = np.asarray(ravel_pytree(metrics[theory][seed])[0], float) ** -0.5
            noise = np.random.default_rng(seed).normal(size=(50, len(flat)))
            noise *= units * arrays[f"gamma/{name}"][seed] ** -0.5
            both = np.concatenate([flat + noise, flat - noise]).astype(np.float32)
            assert np.asarray(costs(both), float).mean() == pytest.approx(cost, rel=0.5)


def test_without_data_chains_wander_as_the_prior_does(bench, arrays, contexts):
    base = answers(bench, contexts, bench.template)
    size = sum(leaf.size for leaf in jax.tree.leaves(bench.template.params))
    for name in SETS:
        health = arrays[f"health/{name}"][:, 0]
        _, _, _, acceptance, _, noise, drift, change = health.T
        assert (acceptance > 0.99).all() and (noise == 0).all()
        np.testing.assert_allclose(drift, np.sqrt(size), rtol=0.05)
        # the average prediction is nearer to the base than its draws are (Jensen), which cost about T
        nearer = np.asarray(kl(jnp.stack([base] * 2), jnp.asarray(arrays[f"ladder/{name}"][:, 0]))).mean(
            axis=-1
        )
        assert (nearer < change).all()
        temperature = float(name.split("=")[1])
        assert (temperature / 4 < change).all() and (change < 4 * temperature).all()


def test_the_colder_the_nearer_to_the_proximal_point(bench, arrays, contexts, data, metrics):
    """At the same τ, on the same D' and in the same metric."""
    base = answers(bench, contexts, bench.template)
    count = np.asarray(data.mask)[0].sum()

    @jax.jit
    def solve(metric, data, betas):
        return Proximal(metric=metric, iterations=200).solve(bench.template, data, betas)[0]

    for theory, times in TIMES.items():
        named = [name for name in SETS if name.startswith(theory)]
        misses = []
        for seed in range(2):
            limits = solve(metrics[theory][seed], one(data, seed), jnp.asarray(times[1:]) / count)
            for rung in range(1, len(times)):
                params = jax.tree.map(lambda leaf, rung=rung: leaf[rung - 1], limits)
                point = answers(bench, contexts, bench.template.with_params(params))
                shift = float(np.mean(kl(point, base)))
                told = [jnp.asarray(arrays[f"ladder/{name}"][seed, rung]) for name in named]
                misses.append([float(np.mean(kl(point, one))) for one in told])
                assert misses[-1][0] < min(0.02 * shift + 3 * COLD, 0.1 * shift)
                assert misses[-1][-1] < 0.1 * shift
        # of one posterior the order can turn: the network's kinks make minima so near each other
        average = np.mean(misses, axis=0).tolist()
        assert sorted(average) == average


def test_a_problem_is_a_sentence_where_a_threshold_is_missed(arrays):
    bad = []
    for name in SETS:
        acceptance, said = arrays[f"health/{name}"][..., 3], arrays[f"problems/{name}"]
        np.testing.assert_array_equal(said != "", acceptance < 0.99)
        bad += said[said != ""].tolist()
        assert (said == "").any()
    assert bad
    assert all(text.startswith("The acceptance is 0.") and text.endswith("better scale.") for text in bad)


def test_the_same_run_has_the_same_bits_and_another_data_others(bench, arrays):
    again, _ = bench.run("langevin", bench.comparison.arms[0], bench.template)
    for name in arrays:
        np.testing.assert_array_equal(again[name], arrays[name])
    for name in SETS:
        ladder = arrays[f"ladder/{name}"]
        assert (ladder[0] != ladder[1]).any(axis=(-1, -2)).all()


def test_a_chain_that_is_lost_is_told_and_the_others_are_kept(bench, arrays, monkeypatch):
    real, calls = bench.posteriors.programs.run, []

    def broken(*arguments):
        """Of both D', the second posterior's third chain: row 4 × 1 + 2 after the pilot's batch."""
        out = jax.tree.map(np.array, real(*arguments))
        calls.append(out)
        if len(calls) % 5 == 2:
            out["nonfinite"][6] = 7
            for name in ("told", "acceptance", "drift", "base_change"):
                out[name][6] = np.nan
        return out

    monkeypatch.setattr(bench.posteriors.programs, "run", broken)
    told, failure = bench.run("langevin", bench.comparison.arms[0], bench.template)
    assert failure == ""
    said = told[f"problems/{SETS[0]}"][0, 1]
    assert "Sample 7 of chain 2 is the first not finite" in said
    assert "acceptance is nan" in said
    assert np.isnan(told[f"ladder/{SETS[0]}"][:, 1]).all()
    for kind in ("ladder", "problems", "health"):
        kept = told[f"{kind}/{SETS[0]}"][:, [0, 2]], arrays[f"{kind}/{SETS[0]}"][:, [0, 2]]
        np.testing.assert_array_equal(*kept)
        np.testing.assert_array_equal(told[f"{kind}/{SETS[1]}"], arrays[f"{kind}/{SETS[1]}"])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"chains": 3}, "chains must be 2 or more and even .* got 3"),
        ({"chains": 0}, "got 0"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"chains": -2}, "got -2"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"bases": 0}, "bases and seeds must be at least 1, got 0"),
        ({"temperatures": (1e-3, 0.0)}, r"temperatures must be above 0 and finite \(nats\), got 0.0"),
        ({"temperatures": (-1.0,)}, "got -1.0"),
        ({"temperatures": (np.nan,)}, "got nan"),
        ({"temperatures": (np.inf,)}, "got inf"),
    ],
)
def test_impossible_samplings_are_refused(fields, sentence):
    with pytest.raises(Misuse, match=sentence):
        Sampling(**fields)


def test_few_chains_run_at_a_time_and_few_rows_are_idle(monkeypatch):
    """Two cores of three chains of 25 000 weights; of two where even that is too much; never more rows
    than there are posteriors, nor a last call that is nearly empty."""
    monkeypatch.setattr(jax, "devices", lambda: ["core", "core"])
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    sizes = {25_632: 6, 101_312: 4, 1_000: 18, 10**7: 4}
    assert {size: chain.together(size, posteriors=18) for size in sizes} == sizes
    assert chain.together(25_632, posteriors=7) == 4
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chain.together(10**7, posteriors=18) == 18
