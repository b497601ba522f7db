"""Sampled posteriors of a tiny experiment: what is kept, and that it is what was asked for."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from experiments.cells import chains as chain_programs
from experiments.cells import posteriors
from experiments.cells.programs import Executor
from experiments.design import random_streams
from experiments.design.sampling import Sampling
from experiments.scoring.thresholds import COLUMNS
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell
from theory.base import Dataset, mean_loss
from theory.divergence.kl import answers_at, kl
from theory.errors import Misuse
from theory.mcmc.chains import Plan
from theory.mcmc.diagnostics import Diagnostics, Thresholds, bulk_ess, rank_normalised_rhat, tail_ess
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import Proximal

LOW, HIGH = 1e-4, 1e-3  # temperatures
TIMES = {"langevin-posterior": (0.0, 0.01, 0.02), "adam-gibbs": (0.0, 0.001, 0.002)}
SETS = ("langevin-posterior/T=0.0001", "langevin-posterior/T=0.001", "adam-gibbs/T=0.0001")
ONLY = Thresholds(None, None, None, acceptance=0.99, halved_step=None, gradient_noise=None)
SAMPLING = Sampling(
    (LOW, HIGH), *TIMES.values(), plan=Plan(40, 30, 1), chains=4, rounds=1, seeds=2, thresholds=ONLY
)
CELL = Cell("posteriors", "topics0", 0)


def trained(network, process):
    """Fitted to documents of the process: the cost of noise is that of a network that has learned."""
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
def executor(tiny, untrained):
    # smooth: such short chains step over no kinks
    experiment = replace(tiny({"network.activation": "gelu", "finetuning.seeds": 3}), sampling=SAMPLING)
    return Executor(experiment, trained(untrained(experiment), experiment.process))


@pytest.fixture(scope="module")
def run(executor):
    """The ladders of the cell by name, sampled anew."""

    def ladders():
        content, failure = executor.run(CELL, executor.template)
        assert failure == "" and isinstance(content, PosteriorCell)
        return {ladder.name: ladder for ladder in content.ladders}

    return ladders


@pytest.fixture(scope="module")
def ladders(run):
    return run()


@pytest.fixture(scope="module")
def questions(executor):
    return executor.data.questions(executor.experiment.arms[0])


@pytest.fixture(scope="module")
def data(executor):
    """D' of every finetuning seed."""
    return executor.data.finetuning(executor.experiment.arms[0], executor.template).data


def one(data, seed):
    return jax.tree.map(lambda leaf: leaf[seed], data)


def answers(executor, questions, predictor):
    part = executor.experiment.process.answer_tokens
    log_probs = answers_at(predictor, jnp.asarray(questions.tokens), part)
    return log_probs[questions.rows, questions.positions]


@pytest.fixture(scope="module")
def metrics(executor, data):
    """Λ by theory and finetuning seed."""
    key = jax.random.fold_in(jax.random.key(executor.experiment.seed), random_streams.METRIC)
    adam = jax.jit(AdamGibbs(batch=executor.experiment.batch).metric)
    iso = jax.tree.map(jnp.ones_like, executor.template.params)
    moments = [adam(executor.template, one(data, seed), key) for seed in range(2)]
    return {"langevin-posterior": [iso, iso], "adam-gibbs": moments}


def column(ladder, name):
    """A diagnostic of every posterior (s, b)."""
    return ladder.diagnostics[..., COLUMNS.index(name)]


def test_every_set_keeps_its_ladder_and_its_diagnostics(ladders, questions):
    kinds = {"gamma", "steps", "tuning", "reasons", "chains", "samples"}
    assert tuple(ladders) == SETS and posteriors.DIAGNOSTICS == COLUMNS
    count = len(questions.rows)
    for name, ladder in ladders.items():
        theory = name.split("/")[0]
        assert ladder.metric == {"langevin-posterior": "identity", "adam-gibbs": "adam"}[theory]
        assert set(ladder.extra) == kinds and ladder.bound == "path"
        rungs = len(TIMES[theory])
        assert ladder.log_probs.shape == (2, rungs, count, 4) and ladder.log_probs.dtype == np.float32
        assert ladder.betas.shape == ladder.times.shape == (rungs,)
        assert ladder.diagnostics.shape == (2, rungs, 8) and ladder.problems.shape == (2, rungs)
        shapes = {"gamma": (2,), "tuning": (2, rungs, 2)}
        shapes |= dict.fromkeys(("steps", "chains", "reasons"), (2, rungs))
        assert {kind: ladder.extra[kind].shape for kind in shapes} == shapes
        np.testing.assert_allclose(np.exp(ladder.log_probs).sum(axis=-1), 1, atol=1e-5)


def test_the_watched_samples_are_kept_and_are_those_of_the_diagnostics(ladders):
    for ladder in ladders.values():
        samples = ladder.extra["samples"]
        assert samples.shape == (2, len(ladder.times), 4, 30, chain_programs.WATCHED)
        assert samples.dtype == np.float32 and (samples < 0).all()
        for seed, rung in np.ndindex(ladder.problems.shape):
            watched = samples[seed, rung]
            for name, measure in (("rhat", rank_normalised_rhat), ("bulk_ess", bulk_ess)):
                worst = np.max if name == "rhat" else np.min
                stored = column(ladder, name)[seed, rung]
                np.testing.assert_allclose(stored, worst(measure(watched)), rtol=1e-6)
            stored = column(ladder, "tail_ess")[seed, rung]
            np.testing.assert_allclose(stored, np.min(tail_ess(watched)), rtol=1e-6)


def test_strengths_are_those_of_learning_rate_times(ladders, data):
    counted = float(np.asarray(data.mask)[0].sum())
    assert counted > 1
    for name, ladder in ladders.items():
        assert tuple(ladder.times) == TIMES[name.split("/")[0]]
        gamma = ladder.extra["gamma"].mean()
        np.testing.assert_allclose(ladder.betas, ladder.times * gamma / counted, rtol=1e-6)
        assert (np.diff(ladder.extra["steps"], axis=1) < 0).all()  # the stronger, the stiffer


def test_tuning_takes_the_longest_good_step_and_gives_its_reason(ladders):
    """Three strengths are neighbours: they share the share of the limit that the strongest one took."""
    shares = posteriors.SHARES
    for ladder in ladders.values():
        steps, reasons = ladder.extra["steps"], ladder.extra["reasons"]
        acceptance, warmup = np.moveaxis(ladder.extra["tuning"], -1, 0)
        share = np.sin(steps[:, 0] / 2)  # at τ = 0 there is no curvature but the prior's
        assert np.isclose(share[:, None], shares, rtol=1e-6).any(axis=1).all()
        assert (acceptance == acceptance[:, :1]).all()
        assert ((acceptance[:, 0] >= 0.6) | np.isclose(share, shares[-1], rtol=1e-6)).all()
        np.testing.assert_array_equal(warmup, np.ceil(6 / steps))
        for index in np.ndindex(steps.shape):
            numbers = f"h = {steps[index]:.3g}", f"acceptance {acceptance[index]:.2f}"
            assert all(part in reasons[index] for part in numbers)


def rows_run(executor, run, monkeypatch):
    """Every row that a run hands to the chains' program, in order, and what comes back."""
    seen, real = [], executor.posteriors.programs.run

    def spy(*arguments):
        out = real(*arguments)
        seen.append((arguments[3:], out))
        return out

    monkeypatch.setattr(executor.posteriors.programs, "run", spy)
    run()
    return seen


@pytest.mark.slow
def test_every_other_chain_takes_half_the_step_of_the_same_posterior(
    executor, run, ladders, data, monkeypatch
):
    """Nine posteriors a batch: one of tuning, then four of four chains for each posterior; twice, for
    two D'. All streams differ."""
    seen = rows_run(executor, run, monkeypatch)
    assert len(seen) == 2 * (1 + 4)
    counted = np.asarray(data.mask)[0].sum()
    keys = [row for (_, *_, rows), _ in seen for row in rows]
    assert len(np.unique(np.stack(keys), axis=0)) == 90
    for seed in range(2):
        batches = [arguments for arguments, _ in seen[5 * seed + 1 : 5 * seed + 5]]
        assert all(tuple(span) == (0, SAMPLING.plan.steps) for span, *_ in batches)
        beta, gamma, step = (np.concatenate([one[2 + k] for one in batches]).reshape(9, 4) for k in range(3))
        steps = np.concatenate([ladders[name].extra["steps"][seed] for name in SETS])
        np.testing.assert_allclose(step[:, ::2], np.repeat(steps[:, None], 2, axis=1), rtol=1e-6)
        np.testing.assert_allclose(step[:, 1::2], step[:, ::2] / 2, rtol=1e-6)
        wanted = np.repeat([ladders[name].extra["gamma"][seed] for name in SETS], 3)
        np.testing.assert_allclose(gamma, np.repeat(wanted[:, None], 4, axis=1), rtol=1e-6)
        times = np.concatenate([TIMES[name.split("/")[0]] for name in SETS])
        np.testing.assert_allclose(beta * counted / gamma, np.repeat(times[:, None], 4, axis=1), rtol=1e-5)
        tokens = np.concatenate([np.asarray(one[1].tokens) for one in batches])
        assert (tokens == np.asarray(data.tokens)[seed]).all()


@pytest.mark.slow
def test_what_has_not_converged_gets_more_chains_and_is_judged_with_all(executor, run, ladders):
    """A second round samples those posteriors alone, with streams of their own, and pools the chains."""
    programs = executor.posteriors
    before, programs.sampling = programs.sampling, replace(SAMPLING, rounds=2)
    try:
        again = run()
    finally:
        programs.sampling = before
    for name, ladder in ladders.items():
        pooled, missed = again[name], ladder.problems != ""
        assert (ladder.extra["chains"] == 4).all()
        np.testing.assert_array_equal(pooled.extra["chains"], np.where(missed, 8, 4))
        np.testing.assert_array_equal(pooled.log_probs[~missed], ladder.log_probs[~missed])
        assert (pooled.log_probs[missed] != ladder.log_probs[missed]).any(axis=(-1, -2)).all()
        # the worst of more chains cannot be better
        assert (column(pooled, "acceptance") <= column(ladder, "acceptance")).all()
        # the first chains are kept, and what was not sampled is nan
        samples = pooled.extra["samples"]
        np.testing.assert_array_equal(samples[:, :, :4], ladder.extra["samples"])
        if missed.any():
            assert samples.shape[2] == 8
            np.testing.assert_array_equal(np.isnan(samples[:, :, 4:]).all(axis=(2, 3, 4)), ~missed)
            assert np.isfinite(samples[missed]).all()
    assert sum((ladder.extra["chains"] == 8).sum() for ladder in again.values()) > 0


@pytest.mark.slow
def test_the_temperature_is_the_cost_of_the_prior(executor, ladders, metrics):
    """On other documents, networks drawn as w0 + (γΛ)^-½ ξ in opposite pairs are T nats from the base."""
    network = executor.template
    tokens = executor.experiment.process.distribution().sample(jax.random.key(99), 100)
    base = network.predict(tokens)
    flat, back = ravel_pytree(network.params)
    costs = jax.jit(
        lambda rows: jax.lax.map(
            lambda row: jnp.mean(kl(base, network.with_params(back(row)).predict(tokens))), rows
        )
    )
    for name, ladder in ladders.items():
        theory, cost = name.split("/")[0], float(name.split("=")[1])
        for seed in range(2):
            units = np.asarray(ravel_pytree(metrics[theory][seed])[0], float) ** -0.5
            noise = np.random.default_rng(seed).normal(size=(50, len(flat)))
            noise *= units * ladder.extra["gamma"][seed] ** -0.5
            both = np.concatenate([flat + noise, flat - noise]).astype(np.float32)
            assert np.asarray(costs(both), float).mean() == pytest.approx(cost, rel=0.5)


def test_without_data_chains_wander_as_the_prior_does(executor, ladders, questions):
    base = answers(executor, questions, executor.template)
    size = sum(leaf.size for leaf in jax.tree.leaves(executor.template.params))
    for name, ladder in ladders.items():
        _, _, _, acceptance, _, noise, drift, change = ladder.diagnostics[:, 0].T
        assert (acceptance > 0.99).all() and (noise == 0).all()
        np.testing.assert_allclose(drift, np.sqrt(size), rtol=0.05)
        # the average prediction is nearer to the base than its samples are (Jensen), which cost about T
        nearer = np.asarray(kl(jnp.stack([base] * 2), jnp.asarray(ladder.log_probs[:, 0]))).mean(axis=-1)
        assert (nearer < change).all()
        temperature = float(name.split("=")[1])
        assert (temperature / 4 < change).all() and (change < 4 * temperature).all()


def test_the_colder_the_nearer_to_the_proximal_point(executor, ladders, questions, data, metrics):
    """At the same τ, on the same D' and in the same metric."""
    base = answers(executor, questions, executor.template)
    count = np.asarray(data.mask)[0].sum()

    @jax.jit
    def solve(metric, data, betas):
        return Proximal(metric=metric, iterations=200).solve(executor.template, data, betas)[0]

    for theory, times in TIMES.items():
        named = [name for name in SETS if name.startswith(theory)]
        misses = []
        for seed in range(2):
            limits = solve(metrics[theory][seed], one(data, seed), jnp.asarray(times[1:]) / count)
            for rung in range(1, len(times)):
                params = jax.tree.map(lambda leaf, rung=rung: leaf[rung - 1], limits)
                point = answers(executor, questions, executor.template.with_params(params))
                shift = float(np.mean(kl(point, base)))
                sampled = [jnp.asarray(ladders[name].log_probs[seed, rung]) for name in named]
                misses.append([float(np.mean(kl(point, average))) for average in sampled])
                assert misses[-1][0] < min(0.02 * shift + 3 * LOW, 0.1 * shift)
                assert misses[-1][-1] < 0.1 * shift
        # of one posterior the order can turn: the network's kinks make minima so near each other
        average = np.mean(misses, axis=0).tolist()
        assert sorted(average) == average


def test_a_problem_is_a_sentence_where_a_threshold_is_missed(ladders):
    problems = []
    for ladder in ladders.values():
        sentences = ladder.problems
        np.testing.assert_array_equal(sentences != "", column(ladder, "acceptance") < 0.99)
        problems += sentences[sentences != ""].tolist()
        assert (sentences == "").any()
    assert problems
    assert all(
        text.startswith("The acceptance is 0.") and text.endswith("better scale.") for text in problems
    )


@pytest.mark.slow
def test_the_same_run_has_the_same_bits_and_another_data_others(run, ladders):
    again = PosteriorCell(tuple(run().values())).to_arrays()
    for name, array in PosteriorCell(tuple(ladders.values())).to_arrays().items():
        np.testing.assert_array_equal(again[name], array)
    for ladder in ladders.values():
        assert (ladder.log_probs[0] != ladder.log_probs[1]).any(axis=(-1, -2)).all()


@pytest.mark.slow
def test_a_diverged_chain_is_reported_and_the_others_are_kept(executor, run, ladders, monkeypatch):
    real, calls = executor.posteriors.programs.run, []

    def broken(*arguments):
        """Of both D', the second posterior's third chain: row 4 × 1 + 2 after the batch of tuning."""
        out = jax.tree.map(np.array, real(*arguments))
        calls.append(out)
        if len(calls) % 5 == 2:
            out["nonfinite"][6] = 7
            for name in ("predictions", "acceptance", "drift", "base_change"):
                out[name][6] = np.nan
        return out

    monkeypatch.setattr(executor.posteriors.programs, "run", broken)
    hurt = run()
    first, others = hurt[SETS[0]], SETS[1]
    sentence = first.problems[0, 1]
    assert "Sample 7 of chain 2 is the first not finite" in sentence
    assert "acceptance is nan" in sentence
    assert np.isnan(first.log_probs[:, 1]).all()
    whole = ladders[SETS[0]]
    for kind in ("log_probs", "problems", "diagnostics"):
        np.testing.assert_array_equal(getattr(first, kind)[:, [0, 2]], getattr(whole, kind)[:, [0, 2]])
        np.testing.assert_array_equal(getattr(hurt[others], kind), getattr(ladders[others], kind))


def test_diagnostics_have_the_columns_that_are_stored():
    names = [name for name in Diagnostics.__annotations__ if name != "nonfinite"]
    assert tuple(names) == COLUMNS


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"chains": 3}, "chains must be 2 or more and even .* got 3"),
        ({"chains": 0}, "got 0"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"chains": -2}, "got -2"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"bases": 0}, "bases and seeds must be at least 1, got 0"),
        ({"temperatures": (0.1, 0.1)}, "temperatures must differ in six digits, got 0.1, 0.1"),
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
    assert {size: chain_programs.together(size, posteriors=18) for size in sizes} == sizes
    assert chain_programs.together(25_632, posteriors=7) == 4
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chain_programs.together(10**7, posteriors=18) == 18
