"""Laws from planted scores: the right one wins and is kept, noise explains nothing."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.laws import (
    FLOOR,
    Law,
    Observation,
    fit,
    halves,
    is_first,
    judge,
    leftover,
    propose,
    r_squared,
    rank_table,
    value,
)
from theory.errors import Misuse


def planted(score, points=60, seed=0, noise=0.02):
    """Observations of `points` runs, two methods and two doses, whose scores follow `score(measures)`."""
    random = np.random.default_rng(seed)
    lines = []
    for point in range(points):
        of_point = {"share": random.uniform(0.2, 1), "leak": random.uniform(0, 1)}
        for method in ("sgd", "adam"):
            for dose in (8, 64):
                known = of_point | {"kappa": np.exp(random.uniform(-4, 0)), "norm": random.uniform(10, 60)}
                value = score(known) + noise * random.normal()
                lines.append(Observation(f"point {point}", method, dose, "linearised", value, known))
    return lines


LAWS = {
    "square": (lambda x: 1 - 0.8 * x["kappa"] ** 2, ("kappa",)),
    "logistic": (lambda x: 1 / (1 + np.exp(6 - 10 * x["share"])), ("share",)),
    "exponential": (lambda x: 1 - np.exp(-1 + 2 * x["leak"] - 3 * x["share"]), ("share", "leak")),
}


QUICK = ("exponential",)  # make test-slow has the others


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.slow] * (form not in QUICK)) for form in LAWS]
)
def test_the_planted_law_is_proposed_and_holds_on_the_other_half(form):
    score, wanted = LAWS[form]
    first, second = halves(planted(score))
    law, *rivals = propose(first, "linearised")
    assert set(law.measures) == set(wanted)
    verdict = judge((law, *rivals), second)
    assert verdict.r2 > 0.9 and verdict.interval[0] > 0.8 and verdict.interval[0] < verdict.r2
    assert len(verdict.rivals) == 3
    assert all(rival.r2 < verdict.r2 - 0.1 for rival in verdict.rivals if rival.law.measures[0] not in wanted)
    assert verdict.points == len({line.point for line in second}) and verdict.observations == len(second)


def test_the_constants_are_those_that_were_planted():
    first, _ = halves(planted(LAWS["square"][0], noise=0.0))
    law = propose(first, "linearised")[0]
    assert law.predict(first) == pytest.approx([line.score for line in first], abs=1e-3)
    x = np.linspace(0.1, 2, 20)[:, None]
    for form, constants in {
        "line": [0.3, -0.2],
        "logistic": [1.0, -2.0],
        "exponential": [-2.0, 0.7],
        "power": [-0.5, 1.5],
        "square": [0.4],
    }.items():
        assert fit(form, x, value(form, np.array(constants), x)) == pytest.approx(constants, rel=1e-3)
    assert fit("power", x - 0.1, x[:, 0]) is None and fit("square", np.hstack([x, x]), x[:, 0]) is None


def test_noise_has_no_law():
    """The interval of R² holds 0, or is below it."""
    first, second = halves(planted(lambda _: 0.5, noise=0.3))
    verdict = judge(propose(first, "linearised"), second)
    assert verdict.interval[0] < 0 and verdict.r2 < 0.15


def test_observations_of_one_point_stay_together_in_the_interval():
    """Four copies of every observation say no more than one, and the interval is as wide."""
    lines = [line for line in planted(LAWS["logistic"][0], noise=0.2) if line.dose == 8]
    laws = propose(halves(lines)[0], "linearised")
    single, copied = judge(laws, lines), judge(laws, lines * 4)
    assert copied.r2 == pytest.approx(single.r2)
    assert copied.interval == pytest.approx(single.interval, abs=1e-9)


def test_a_rival_is_behind_by_the_difference_of_r2_over_points():
    lines = planted(LAWS["square"][0], noise=0.2)  # of which both laws suffer alike
    law = Law("linearised", "square", ("kappa",), (0.8,), 0.9)
    worse = replace(law, constants=(0.6,))
    verdict = judge((law, worse, law), lines)
    behind, (low, high) = verdict.rivals[0].behind
    assert behind == pytest.approx(verdict.r2 - verdict.rivals[0].r2) and low < behind < high
    width = verdict.rivals[0].interval[1] - verdict.rivals[0].interval[0]
    assert high - low < 0.7 * width  # paired: the same points stand in both
    assert verdict.rivals[1].behind == (0, (0, 0)) and verdict.behind is None


def test_what_differs_between_ways_of_finetuning_alone_is_no_law_within_them():
    lines = [
        replace(line, score=float(line.method == "adam") + 0.1 * line.measures["norm"] / 60)
        for line in planted(lambda _: 0.5)
    ]
    known = [
        replace(x, measures={"adam": float(x.method == "adam"), "norm": x.measures["norm"]}) for x in lines
    ]
    mean = float(np.mean([line.score - line.measures["adam"] for line in known]))
    verdict = judge((Law("linearised", "line", ("adam",), (mean, 1.0), 0.9),), known)
    assert verdict.r2 > 0.99 and verdict.within == pytest.approx(0, abs=0.02)
    within = judge((Law("linearised", "line", ("adam", "norm"), (0.0, 1.0, 0.1 / 60), 0.9),), known)
    assert within.within == pytest.approx(1)


def test_a_score_below_the_floor_counts_as_the_floor():
    first, _ = halves(planted(lambda x: -50 * x["leak"]))
    law = propose(first, "linearised")[0]
    assert law.predict(first).min() > 5 * FLOOR
    assert r_squared(np.ones(3), np.ones(3)) != r_squared(np.ones(3), np.ones(3))  # nan: nothing varies


def test_ranks_are_those_of_each_theory():
    lines = planted(lambda x: -x["kappa"], noise=0.0)
    table = {row["measure"]: row for row in rank_table(lines)}
    assert table["kappa"]["linearised"] == -1 and abs(float(table["norm"]["linearised"])) < 0.3
    still = [Observation(x.point, x.method, x.dose, x.theory, 0.5, x.measures) for x in lines]
    assert np.isnan(rank_table(still)[0]["linearised"])


def test_halves_follow_from_the_names_alone_and_few_points_are_refused():
    lines = planted(lambda _: 0.5)
    first, second = halves(lines)
    assert {is_first(line.point) for line in first} == {True}
    assert len(first) + len(second) == len(lines)
    assert 0.3 < len(first) / len(lines) < 0.7
    with pytest.raises(Misuse, match="at least 6 points in each half, got"):
        halves([line for line in lines if line.point in ("point 1", "point 2")])


def test_a_theory_without_measures_or_scores_is_refused():
    lines = planted(lambda _: 0.5)
    bare = [Observation(x.point, x.method, x.dose, x.theory, x.score, {}) for x in lines]
    with pytest.raises(Misuse, match="No measure varies over the points of linearised"):
        propose(bare, "linearised")
    with pytest.raises(Misuse, match="no score of linearised with"):
        judge(propose(lines, "linearised"), [])


def test_what_is_left_follows_the_planted_power_in_logarithms():
    random = np.random.default_rng(1)
    lines = [
        replace(line, score=1 - 0.5 * line.measures["kappa"] ** 1.5 * np.exp(0.1 * random.normal()))
        for line in planted(lambda known: 0.0)
    ]
    verdict = leftover(lines, "kappa", 1e-9)
    (offset, slope), second = verdict.law.constants, halves(lines)[1]
    assert slope == pytest.approx(1.5, abs=0.03) and np.exp(offset) == pytest.approx(0.5, rel=0.05)
    wanted = np.log([1 - line.score for line in second])
    predicted = np.log(1 - verdict.law.predict(second))
    assert verdict.r2 == pytest.approx(r_squared(wanted, predicted)) and 0.9 < verdict.r2 < 1
    assert verdict.interval[0] < verdict.r2 < verdict.interval[1]
    few = [line for line in lines if line.point in ("point 0", "point 1")]
    with pytest.raises(Misuse, match="at least"):
        leftover(few, "kappa", 1e-9)
