"""Columns of measures from cells made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.measures import CANDIDATES, averaged, judged, kappa, measures, records
from experiments.storage.contents import ReplayCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

EVEN = np.log(np.full((3, 2), 0.5))
TILT = np.log([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2]])


@pytest.fixture
def run(make):
    """Two hypotheses, which differ alike on three topics; the forecast goes from their mean to the first."""
    components = np.stack([TILT, TILT[:, ::-1]])
    base = np.logaddexp.reduce(components, axis=0) - np.log(2)
    contexts = make.contexts(base, ["in_domain", "held_out", "held_out"], components, None, ["a", "b", "c"])
    known = {"evidence": [2.0, 4.0], "inference_exact": [0.5, 0.5], "inference_network": [0.1, 0.3]}
    known |= {
        "best_hypothesis": [0, 0],
        "common_share_network": 0.7,
        "effect_network": 0.9,
        "weight_norm": 9.0,
    }
    theories = replace(
        make.theories(contexts),
        measures={name: np.asarray(value) for name, value in known.items()},
        reachable=np.array([[2.0, 1.2, 1.0], [2.0, 1.4, 1.0]]),
    )
    forecast = np.broadcast_to(TILT, (2, 2, 3, 2))
    of_method = {
        "kernel_alignment": np.array([0.2, 0.4]),
        "transfer": np.array([0.5, 0.7]),
        "first_order": np.ones((2, 2, 3)),
        "second_order": np.broadcast_to(np.array([[0.01], [0.04]]), (2, 2, 3)),
        "relative_step": np.array([[0.1, 0.2], [0.3, 0.4]]),
    }
    contents = {
        Cell("theories", "arm", 0): theories,
        Cell("replays", "arm", 0, "sgd"): ReplayCell({"linearised": forecast}, measures=of_method),
    }
    return MemoryRun("made-up", (1, 4), contents)


def test_columns_are_those_of_the_formulas(run):
    first, last = measures(run)
    assert (first.method, first.data, first.base, first.dose, last.dose) == ("sgd", "arm", 0, 1, 4)
    assert (first.kappa, last.kappa) == pytest.approx((0.1, 0.2))
    assert (first.relative_step, last.relative_step) == pytest.approx((0.2, 0.3))
    assert first.marginal_leak == pytest.approx(0.7)
    assert first.common_share == pytest.approx(1) and first.base_entropy == pytest.approx(np.log(2))
    assert (first.evidence, first.inference_network, first.transfer) == pytest.approx((3, 0.2, 0.6))
    assert first.forecast_shift == pytest.approx(0.8 * np.log(1.6) + 0.2 * np.log(0.4))
    assert (first.bias_share, first.persona_share, first.mixture_share) == pytest.approx((1, 1, 1))
    assert first.learnt is None  # only a folder knows the quality of its networks


def test_a_forecast_of_opposite_signs_is_no_bias_and_no_hypothesis(run):
    """Contexts move by u and -u: what is alike in both reaches nothing of it."""
    cell = Cell("replays", "arm", 0, "sgd")
    opposite = np.broadcast_to(np.stack([TILT[0], TILT[0], TILT[0, ::-1]]), (2, 2, 3, 2))
    contents = run.contents | {cell: replace(run.contents[cell], predictions={"linearised": opposite})}
    first = measures(replace(run, contents=contents))[0]
    assert (first.bias_share, first.mixture_share) == pytest.approx((0, 0), abs=1e-6)


def test_the_quadratic_forecast_tells_what_the_linear_one_misses(run):
    cell = Cell("replays", "arm", 0, "sgd")
    linear = run.contents[cell].predictions["linearised"]
    still = np.broadcast_to(np.log(np.full((3, 2), 0.5)), linear.shape)
    for quadratic, forecast, wanted in ((linear, linear, 0.0), (linear, still, 1.0)):
        content = replace(run.contents[cell], predictions={"linearised": forecast, "quadratic": quadratic})
        lines = measures(replace(run, contents=run.contents | {cell: content}))
        assert [line.quadratic_gap for line in lines] == pytest.approx([wanted] * 2)
    assert measures(run)[0].quadratic_gap is None


def test_without_a_forecast_or_measures_there_are_no_such_columns(run):
    cell = Cell("replays", "arm", 0, "sgd")
    silent = run.contents | {cell: ReplayCell({})}
    (first, _) = measures(replace(run, contents=silent))
    assert first.kappa is None and first.persona_share is None and first.evidence == 3
    bare = {key: replace(content, measures={}) for key, content in run.contents.items()}
    assert measures(replace(run, contents=bare)) == []


def test_averages_are_over_what_is_known(run):
    first = measures(run)[0]
    means = averaged([first, replace(first, kappa=None, transfer=0.8)])
    assert (means["kappa"], means["transfer"]) == pytest.approx((0.1, 0.7))
    assert means["learnt"] is None and means.keys() == set(CANDIDATES)
    assert records(run)[0]["dose"] == 1


def test_the_group_that_is_judged():
    assert judged(["in_domain", "conflict", "held_out"]) == "held_out"
    assert judged(["in_domain", "conflict"]) == "conflict" and judged(["in_domain"]) == "in_domain"
    assert np.isnan(kappa(np.zeros(3), np.ones(3)))
