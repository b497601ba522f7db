"""The cell of theories: contexts, ladders that are the theories' predictions, the implied prior, modes."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from experiments.cells.anchor import anchor
from experiments.cells.candidates import Candidate
from experiments.cells.programs import Executor
from experiments.cells.theories import TheoryPrograms
from experiments.storage.records import Cell, Ladder
from theory.divergence.kl import answers_at, kl
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.geometric_path import GeometricPath
from theory.theories.hierarchical_personas import HierarchicalPersonas
from theory.theories.proximal import Proximal
from theory.theories.tempered_posterior import TemperedPosterior, matched_rate
from theory.weights.curvature import gauss_newton

CELL = Cell("theories", "topics0", 0)


@pytest.fixture(scope="module")
def executor(tiny, untrained):
    experiment = tiny()
    return Executor(experiment, untrained(experiment))


@pytest.fixture(scope="module")
def cell(executor):
    content, failure = executor.run(CELL, executor.template)
    assert failure == ""
    return content


@pytest.fixture(scope="module")
def ladders(cell):
    return {ladder.name: ladder for ladder in cell.ladders}


@pytest.fixture(scope="module")
def inputs(executor):
    """D' of every seed, contexts."""
    arm = executor.experiment.arms[0]
    return executor.data.finetuning(arm, executor.template).data, executor.data.questions(arm)


def read(executor, questions, predictor):
    part = executor.experiment.process.answer_tokens
    return questions.at(answers_at(predictor, jnp.asarray(questions.tokens), part))


def one(data, seed):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), data)


def test_every_default_theory_has_its_ladders(ladders, inputs):
    _, questions = inputs
    names = {
        f"{name}/{p}"
        for name in ("tempered-posterior", "exchangeable-mixture")
        for p in ("process", "implied")
    }
    assert set(ladders) == names | {
        f"{name}/network" for name in ("geometric-path", "linear-mixture", "proximal")
    }
    for ladder in ladders.values():
        assert ladder.log_probs.shape == (2, len(ladder.betas), len(questions.rows), 4)
        assert ladder.log_probs.dtype == np.float32
        converged = ~np.isnan(ladder.log_probs).any(axis=(2, 3))
        assert converged.all() or (ladder.theory == "proximal" and converged[:, :2].all())
        np.testing.assert_allclose(np.exp(ladder.log_probs[converged]).sum(axis=-1), 1, atol=1e-5)
    bounds = {name: ladder.bound for name, ladder in ladders.items()}
    assert {name for name, bound in bounds.items() if bound == "mixture"} == names
    assert [name for name, ladder in ladders.items() if ladder.times is not None] == ["proximal/network"]
    assert ladders["proximal/network"].metric == "identity"


def test_the_contexts_hold_the_exact_process_and_the_base_network(executor, cell, inputs):
    _, questions = inputs
    process, part = executor.experiment.process.distribution(), executor.experiment.process.answer_tokens
    contexts = cell.contexts
    np.testing.assert_allclose(contexts.exact, read(executor, questions, process), atol=1e-5)
    np.testing.assert_allclose(contexts.base, read(executor, questions, executor.template), atol=1e-5)
    tokens = jnp.asarray(questions.tokens)
    components = jax.nn.log_softmax(process.component_log_probs(tokens)[..., part], axis=-1)
    np.testing.assert_allclose(contexts.components, questions.at(components), atol=1e-5)
    evidence = np.asarray(process.evidence(tokens))[:, questions.rows, questions.positions]
    np.testing.assert_allclose(contexts.evidence, evidence, rtol=1e-5)
    assert cell.implied_weights.sum() == pytest.approx(1, abs=1e-4) and (cell.implied_weights >= 0).all()


def test_a_ladder_is_its_theory_at_every_strength_and_D(executor, cell, ladders, inputs):
    data, questions = inputs
    process = executor.experiment.process.distribution()
    implied = process.with_log_weights(jnp.log(jnp.maximum(cell.implied_weights, 1e-12)))
    network = executor.template
    path = GeometricPath(process)
    for name, theory, prior in (
        ("tempered-posterior/process", TemperedPosterior(), process),
        ("tempered-posterior/implied", TemperedPosterior(), implied),
        ("exchangeable-mixture/process", ExchangeableMixture(), process),
        ("geometric-path/network", path, network),
        ("proximal/network", Proximal(), network),
    ):
        ladder = ladders[name]
        # a proximal ladder starts each descent from the point before, and kinks may part their ways
        rung = 2 if name == "proximal/network" else len(ladder.betas) // 2
        for seed in range(2):
            predict = jax.jit(
                lambda data, beta, theory=theory, prior=prior: theory.predict(prior, data, beta)
            )
            after = predict(one(data, seed), jnp.asarray(ladder.betas[rung], jnp.float32))
            wanted = read(executor, questions, after)
            if prior is not network:
                wanted = anchor(
                    np.stack([read(executor, questions, prior), wanted])[None], cell.contexts.base
                )
                wanted = wanted[0, 1]
            tolerance = 2e-3 if name == "proximal/network" else 2e-4
            np.testing.assert_allclose(ladder.log_probs[seed, rung], wanted, atol=tolerance, err_msg=name)


def test_an_anchored_ladder_starts_at_the_base_network_to_the_bit(executor, cell, ladders):
    for ladder in cell.ladders:
        if ladder.bound == "mixture":
            np.testing.assert_array_equal(ladder.log_probs[:, 0], [cell.contexts.base] * 2)
            np.testing.assert_allclose(np.exp(ladder.log_probs).sum(axis=-1), 1, atol=1e-5)
        else:
            assert ladder.reference is None
    np.testing.assert_allclose(
        ladders["tempered-posterior/process"].reference, cell.contexts.exact, atol=1e-5
    )


def test_an_anchored_theory_from_a_perfect_base_network_is_the_theory():
    base = np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], np.float32))
    rungs = np.stack([base, np.log(np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2]], np.float32))])
    np.testing.assert_allclose(anchor(rungs[None], base)[0], rungs, atol=1e-6)


def test_answers_that_are_ruled_out_are_anchored_too():
    """By the prior: the base network's share stays; by the theory: nothing is left; not known: not known."""
    base = np.log(np.array([[0.2, 0.3, 0.5]], np.float32))
    with np.errstate(divide="ignore"):
        rungs = np.log(np.array([[[0.4, 0.6, 0.0]], [[0.8, 0.2, 0.0]], [[1.0, 0.0, 0.0]]], np.float32))
    got = anchor(np.stack([rungs, np.full_like(rungs, np.nan)]), base)
    weights = np.array([[0.2, 0.3, 0.5], [0.4, 0.1, 0.5], [0.2 / 0.4, 0.0, 0.5]])
    np.testing.assert_allclose(np.exp(got[0, :, 0]), weights / weights.sum(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(got[0, 0], base)
    assert np.isnan(got[1]).all()


def test_a_ladder_with_hyperparameters_starts_anew_at_each(executor, inputs):
    """Its program has the answers at all of them, one after the other."""
    data, questions = inputs
    form = HierarchicalPersonas(candidates=(2.0, 30.0))
    candidate = Candidate("hierarchical-fitted", ("process",), "hypotheses", form)
    grid, tokens = (
        form.grid(executor.experiment.scale(1.0)),
        executor.theories.answers.padded(questions.tokens),
    )
    answers = np.zeros((2, 2 * len(grid), *tokens.shape, 4))
    programs = SimpleNamespace(closed_form=lambda *_: (lambda: answers, ()))
    priors = {"process": executor.experiment.process.distribution(), "network": executor.template}
    more = "process", priors, executor.experiment.scale(1.0), data, None, tokens, questions
    ladder = TheoryPrograms.ladder(programs, candidate, *more)
    np.testing.assert_array_equal(ladder.betas, [*grid, *grid])
    np.testing.assert_array_equal(ladder.hyperparameters, [2.0] * len(grid) + [30.0] * len(grid))


def test_without_an_anchor_theories_of_hypotheses_start_from_the_process(executor, cell, ladders):
    """Their ladders stay as they are; anchored, they are those of the cell."""
    anchored = ladders["tempered-posterior/process"]
    (candidate,) = (c for c in executor.theories.candidates if c.theory == "tempered-posterior")
    rates = {candidate: {"process": anchored.rate}}
    raw = np.stack([cell.contexts.exact, cell.contexts.base])[None].repeat(2, axis=0)
    ladder = Ladder("tempered-posterior", "process", np.arange(2.0), raw, "mixture")
    for keep in (True, False):
        programs = SimpleNamespace(experiment=replace(executor.experiment, anchored=keep))
        got = TheoryPrograms._finished(programs, candidate, cell.contexts, rates, ladder)
        np.testing.assert_array_equal(got.log_probs, anchor(raw, cell.contexts.base) if keep else raw)
        assert (got.reference is not None) == keep and got.rate is anchored.rate


def test_strengths_are_fitted_on_first_answers_or_on_all(executor, cell):
    """Documents of D' have two answers or more; held-out contexts have one and are no calibration."""
    contexts = cell.contexts
    inside = contexts.inside("in_domain")
    first = contexts.calibration
    assert not (first & ~inside).any() and 0 < first.sum() < inside.sum()
    assert set(contexts.position[first]) == {1} and (contexts.position[inside & ~first] > 1).all()
    assert first.sum() == len(executor.experiment.contexts(executor.experiment.arms[0])["in_domain"].tokens)
    questions = executor.data.questions(executor.experiment.arms[0])
    np.testing.assert_array_equal(questions.calibration("all"), inside)


def test_strengths_of_theories_over_weights_are_times_over_the_answers(executor, ladders, inputs):
    data, _ = inputs
    ladder = ladders["proximal/network"]
    counted = data.mask.sum(axis=(1, 2)).mean()
    np.testing.assert_allclose(ladder.betas, ladder.times / counted, rtol=1e-6)
    np.testing.assert_allclose(ladder.log_probs[:, 0], ladder.log_probs[:1, 0].repeat(2, axis=0), atol=1e-6)


def test_the_directions_are_the_most_curved(executor, cell, inputs):
    data, _ = inputs
    assert cell.curvatures.shape == (16,) and (np.diff(cell.curvatures) <= 0).all()
    rows = np.concatenate([leaf.reshape(16, -1) for leaf in cell.modes.values()], axis=1)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-4)
    product = jax.jit(gauss_newton(executor.template, one(data, 0)).product)
    keys = {
        jax.tree_util.keystr(path[:-1], simple=True, separator="."): path
        for path, _ in jax.tree_util.tree_leaves_with_path(executor.template.params)
    }
    assert set(keys) == set(cell.modes)
    leaves = [cell.modes[name][0] for name in keys]
    first = jax.tree.unflatten(jax.tree.structure(executor.template.params), leaves)
    curved = product(first)
    value = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(curved), strict=True))
    np.testing.assert_allclose(value, cell.curvatures[0], rtol=1e-3)


def test_losses_on_the_data_are_those_of_the_network_of_a_bias_and_of_the_likeliest_hypothesis(
    executor, cell, inputs
):
    """In nats an answer, by predictions of whole documents; the bias by a general optimiser."""
    data, _ = inputs
    part, process = executor.experiment.process.answer_tokens, executor.experiment.process.distribution()
    for seed, losses in enumerate(cell.reachable):
        documents = one(data, seed)
        at = np.nonzero(np.asarray(documents.mask))
        given = np.asarray(documents.tokens)[at] - part.start

        def loss(predictor, documents=documents, at=at, given=given):
            log_probs = np.asarray(answers_at(predictor, documents.tokens, part))[at]
            return log_probs, -log_probs[np.arange(len(given)), given].mean()

        base, before = loss(executor.template)
        hypotheses = [loss(process.component(z))[1] for z in range(5)]

        def biased(bias, base=base, given=given):
            moved = jax.nn.log_softmax(base + bias, axis=-1)
            return -jnp.mean(moved[np.arange(len(given)), given])

        best = minimize(biased, np.zeros(4), jac=jax.grad(biased), method="BFGS").fun
        np.testing.assert_allclose(losses, [before, best, min(hypotheses)], rtol=1e-4)
        assert losses[1] < losses[0]


def test_a_tempered_posterior_has_the_rate_of_its_prior_for_every_data(executor, cell, ladders, inputs):
    data, _ = inputs
    process = executor.experiment.process.distribution()
    implied = process.with_log_weights(jnp.log(jnp.maximum(cell.implied_weights, 1e-12)))
    for label, prior in (("process", process), ("implied", implied)):
        rates = [matched_rate(prior, executor.template, one(data, seed)) for seed in range(2)]
        np.testing.assert_allclose(ladders[f"tempered-posterior/{label}"].rate, rates, rtol=1e-3)
    assert ladders["exchangeable-mixture/process"].rate is None


def test_without_a_teacher_there_is_none_and_nothing_else_is_observed(cell):
    assert cell.teacher_answers is None and cell.teacher_update is None and cell.observed == {}


def test_instances_are_completed_and_stand_for_their_names(executor, untrained, ladders):
    """A path without hypotheses gets those of the process; a tempered posterior needs nothing."""
    more = {"geometric-path": GeometricPath(), "tempered-posterior": TemperedPosterior()}
    experiment = replace(executor.experiment, theories=("unchanged",), more_theories=more)
    other = Executor(experiment, executor.template)
    content, _ = other.run(CELL, executor.template)
    found = {ladder.name: ladder for ladder in content.ladders}
    assert list(found) == [
        "geometric-path/network",
        "tempered-posterior/process",
        "tempered-posterior/implied",
    ]
    for name, ladder in found.items():
        np.testing.assert_array_equal(ladder.log_probs, ladders[name].log_probs)


def test_theories_by_name(executor):
    def scored(*theories):
        made = Executor(replace(executor.experiment, theories=theories), executor.template)
        return {each.theory for each in made.theories.candidates}, {
            each.theory for each in made.replays.candidates if each.kind == "replay"
        }

    assert scored("linear-mixture") == ({"linear-mixture"}, set())
    assert scored("quadratic", "spectrum") == ({"spectrum"}, {"quadratic"})
    closed, replayed = scored("all")
    assert closed > {"laplace", "in-context"}
    assert replayed == {"linearised", "quadratic", "relinearised", "two-looks"}
    with pytest.raises(Misuse, match="did you mean linear-mixture"):
        scored("linear-mixtur")


def test_the_base_network_is_nearer_to_its_implied_prior_than_to_the_process(executor, cell, inputs):
    """At the contexts by which it is fitted."""
    process = executor.experiment.process
    elicitation = process.elicitation_contexts()
    tokens, where = jnp.asarray(elicitation.tokens), np.nonzero(np.asarray(elicitation.mask))
    weights = jnp.log(jnp.maximum(cell.implied_weights, 1e-12))
    models = process.distribution(), process.distribution().with_log_weights(weights), executor.template
    exact, implied, base = (answers_at(model, tokens, process.answer_tokens)[where] for model in models)
    assert float(kl(base, implied).mean()) < float(kl(base, exact).mean())
