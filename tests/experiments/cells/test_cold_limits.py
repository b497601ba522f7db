"""Limits of zero temperature in Adam's metric: at the base, in the metric that is named, and what is lost."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells import cold_limits as cold
from experiments.cells.cold_limits import ColdLimits
from experiments.cells.programs import Executor
from experiments.design import random_streams
from experiments.design.sampling import Sampling
from experiments.studies import weird_generalisation as study
from models.network import build, first
from theory.compute.descent import epochs
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import Proximal
from theory.weights.diagonal_metrics import adam

MOMENTS = (0, 3)
SMALL = {"pretraining_steps": 1, "n": 6, "batch": 4, "width": 8, "doses": (1, 4), "repeats": 1, "seeds": 2}


@pytest.fixture(scope="module")
def comparison():
    # smooth: where a descent meets kinks it may not converge
    config = replace(study.PRESETS["smoke"], methods=("adam",), adam_rate=0.003, activation="gelu", **SMALL)
    return replace(study.comparison(config), sampling=Sampling(moments=MOMENTS, seeds=2))


@pytest.fixture(scope="module")
def inputs(comparison):
    """A network, D' of every seed, contexts and where they are answered."""
    process = comparison.process
    network = first(build(comparison.shape, process.vocabulary, process.length, [0]))
    bench = Executor(replace(comparison, sampling=None), network)
    arm = comparison.arms[0]
    return network, bench.written.data(arm, network)[0], *bench._contexts(arm)[:2]


@pytest.fixture(scope="module")
def limits(comparison, inputs):
    return ColdLimits(comparison, inputs[0])


@pytest.fixture(scope="module")
def arrays(limits, inputs):
    return limits.run(*inputs)


def test_every_metric_has_a_ladder_and_its_clock(limits, arrays, inputs):
    _, data, _, where = inputs
    counted = data.mask[0].sum()
    assert limits.times[0] == 0 and limits.times[-1] >= 0.003 * 4
    for steps in MOMENTS:
        name = f"adam-gibbs/v of {steps} steps, T=0"
        assert arrays[f"ladder/{name}"].shape[:3] == (2, len(limits.times), len(where[0]))
        np.testing.assert_allclose(arrays[f"betas/{name}"], arrays[f"times/{name}"] / counted, rtol=1e-6)
        assert arrays[f"clock/{name}"] == "adam"


def test_it_is_the_proximal_point_in_the_metric_that_is_named(comparison, limits, arrays, inputs):
    """The second D', at the base and at τ = 2⁻⁸; the two metrics differ, and so do their points."""
    network, data, tokens, where = inputs
    mine, rung = jax.tree.map(lambda leaf: leaf[1], data), 5
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(comparison.seed), random_streams.MOMENTS), 1)
    order = epochs(key, comparison.n, comparison.batch, max(MOMENTS))
    part = comparison.process.answer_tokens
    read = lambda told: np.asarray(answers_at(told, jnp.asarray(tokens), part))[where]  # noqa: E731

    @jax.jit
    def solved(metric):
        return Proximal(metric=metric, iterations=300, tolerance=1e-3).predict(
            network, mine, limits.times[rung] / mine.mask.sum()
        )

    told = {}
    for steps, metric in (
        (0, AdamGibbs(batch=comparison.batch).metric(network, mine, key)),
        (3, adam(network, mine, order[:3], 0.003)),
    ):
        ladder = arrays[f"ladder/adam-gibbs/v of {steps} steps, T=0"][1]
        np.testing.assert_allclose(ladder[0], read(network), atol=1e-5)
        moved = np.abs(ladder[rung] - ladder[0]).max()
        np.testing.assert_allclose(ladder[rung], read(solved(metric)), atol=0.03 * moved)
        told[steps] = ladder[rung]
    assert np.abs(told[0] - told[3]).max() > 0.1 * moved


def test_what_did_not_converge_is_nan(limits, arrays, inputs, monkeypatch):
    monkeypatch.setattr(cold, "UNCONVERGED", 1e-4)
    told = limits.run(*inputs)
    for steps in MOMENTS:
        name = f"adam-gibbs/v of {steps} steps, T=0"
        lost = told[f"residual/{name}"] > 1e-4
        assert lost.any() and not lost.all()
        np.testing.assert_array_equal(np.isnan(told[f"ladder/{name}"]).all(axis=(2, 3)), lost)
        np.testing.assert_array_equal(told[f"ladder/{name}"][~lost], arrays[f"ladder/{name}"][~lost])


def test_moments_need_adam(comparison, inputs):
    config = replace(study.PRESETS["smoke"], methods=("sgd",), **SMALL)
    other = replace(study.comparison(config), sampling=comparison.sampling)
    with pytest.raises(Misuse, match="moments need Adam among the methods, got sgd"):
        ColdLimits(other, inputs[0])
