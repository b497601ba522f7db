"""Limits of zero temperature in Adam's metric: at the base, in the named metric, and what diverged."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells import cold_limits
from experiments.cells.cold_limits import ColdLimits
from experiments.cells.data import FinetuningData
from experiments.design import random_streams
from experiments.design.sampling import Sampling
from theory.compute.descent import epochs
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import Proximal
from theory.weights.diagonal_metrics import adam

MOMENTS = (0, 3)
PATH = (2, 1)  # of the cell: base network and arm


@pytest.fixture(scope="module")
def experiment(tiny):
    # smooth: where a descent meets kinks it may not converge
    changes = {"finetuning.methods": ("adam",), "finetuning.adam_rate": 0.003, "network.activation": "gelu"}
    changes |= {"finetuning.doses": (1, 4)}
    return replace(tiny(changes), sampling=Sampling(moments=MOMENTS, seeds=2))


@pytest.fixture(scope="module")
def inputs(experiment, untrained):
    """A network, D' of every seed, contexts and where they are answered."""
    network, data = untrained(experiment), FinetuningData(experiment)
    arm = experiment.arms[0]
    questions = data.questions(arm)
    return network, data.finetuning(arm, network).data, questions.tokens, questions


@pytest.fixture(scope="module")
def limits(experiment, inputs):
    return ColdLimits(experiment, inputs[0])


@pytest.fixture(scope="module")
def ladders(limits, inputs):
    return {ladder.name: ladder for ladder in limits.run(*inputs, PATH)}


def name(steps):
    return f"adam-gibbs/v of {steps} steps, T=0"


def test_every_metric_has_a_ladder_and_its_learning_rate_time(limits, ladders, inputs):
    _, data, _, questions = inputs
    counted = data.mask[0].sum()
    assert limits.times[0] == 0 and limits.times[-1] >= 0.003 * 4
    assert list(ladders) == [name(steps) for steps in MOMENTS]
    for ladder in ladders.values():
        assert ladder.log_probs.shape[:3] == (2, len(limits.times), len(questions.rows))
        np.testing.assert_array_equal(ladder.times, limits.times)
        np.testing.assert_allclose(ladder.betas, ladder.times / counted, rtol=1e-6)
        assert ladder.metric == "adam"


@pytest.mark.slow
def test_it_is_the_proximal_point_in_the_metric_that_is_named(experiment, limits, ladders, inputs):
    """The second D', at the base and at τ = 2⁻⁸; the two metrics differ, and so do their points."""
    network, data, tokens, questions = inputs
    mine, rung = jax.tree.map(lambda leaf: leaf[1], data), 5
    key = random_streams.stream(experiment.seed, random_streams.MOMENTS, *PATH, 1)
    of_order = random_streams.stream(experiment.seed, random_streams.MOMENTS_ORDER, *PATH, 1)
    order = epochs(of_order, experiment.n, experiment.batch, max(MOMENTS))
    part = experiment.process.answer_tokens
    read = lambda model: questions.at(answers_at(model, jnp.asarray(tokens), part))  # noqa: E731

    @jax.jit
    def solved(metric):
        return Proximal(metric=metric, iterations=300, tolerance=1e-3).predict(
            network, mine, limits.times[rung] / mine.mask.sum()
        )

    points = {}
    for steps, metric in (
        (0, AdamGibbs(batch=experiment.batch).metric(network, mine, key)),
        (3, adam(network, mine, order[:3], 0.003)),
    ):
        ladder = ladders[name(steps)].log_probs[1]
        np.testing.assert_allclose(ladder[0], read(network), atol=1e-5)
        moved = np.abs(ladder[rung] - ladder[0]).max()
        np.testing.assert_allclose(ladder[rung], read(solved(metric)), atol=0.03 * moved)
        points[steps] = ladder[rung]
    assert np.abs(points[0] - points[3]).max() > 0.1 * moved


def test_what_did_not_converge_is_nan(limits, ladders, inputs, monkeypatch):
    monkeypatch.setattr(cold_limits, "UNCONVERGED", 1e-4)
    for ladder in limits.run(*inputs, PATH):
        diverged = ladder.extra["residual"] > 1e-4
        assert diverged.any() and not diverged.all()
        np.testing.assert_array_equal(np.isnan(ladder.log_probs).all(axis=(2, 3)), diverged)
        whole = ladders[ladder.name].log_probs
        np.testing.assert_array_equal(ladder.log_probs[~diverged], whole[~diverged])


def test_moments_need_adam(tiny, experiment, inputs):
    other = replace(tiny({"finetuning.methods": ("sgd",)}), sampling=experiment.sampling)
    with pytest.raises(Misuse, match="moments need Adam among the methods, got sgd"):
        ColdLimits(other, inputs[0])
