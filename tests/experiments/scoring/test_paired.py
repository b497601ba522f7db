"""Theories are compared on the same networks, with nulls and with what a theory blind to order can reach."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import beats_nulls, is_worse
from experiments.scoring.paired import (
    advantage,
    below_order_blind,
    class_below_order_blind,
    covers,
    leader,
    of_the_rest,
    on_networks_of,
    open_cases,
    ranked,
    ties,
)
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Row

EASY = 0.5  # of the shift, which the last base network leaves less of to every theory


def rows(
    theory, explained, bases=4, seeds=3, grade="forecast", dose=8, group="held_out", noise=0.0, shift=0.1
):
    """Rows whose scores are `explained`, the last base network's larger by EASY of what is left."""
    random = np.random.default_rng(len(theory))
    for base in range(bases):
        left = (1 - explained) * (1 - EASY * (base == 3)) + noise * random.normal(size=seeds)
        numbers = {
            "nats": tuple(shift * left),
            "shift": (shift,) * seeds,
            "replica": (0.02 * shift,) * seeds,
            "other_base": None,
            "best_in_class": (0.0,) * seeds,
        }
        yield Row(
            study="made-up",
            method="sgd",
            data="topics0",
            base=base,
            dose=dose,
            theory=theory,
            prior="network",
            grade=grade,
            split=None,
            group=group,
            beta=None,
            converged=None,
            **numbers,
        )


def card(*parts):
    return {line.theory: line for line in scorecard([row for part in parts for row in part])}


def test_a_theory_on_easy_networks_does_not_win():
    """`sampled` has the last base network alone, worse than `whole` there, though its mean is better."""
    sampled = [row for row in rows("sampled", 0.8) if row.base == 3]
    lines = card(rows("whole", 0.85), sampled, rows("worse", 0.1))
    assert lines["sampled"].explained > lines["whole"].explained
    order = ranked(list(lines.values()))
    assert [line.theory for line in order] == ["whole", "sampled", "worse"]
    assert advantage(lines["sampled"], lines["whole"]).value == pytest.approx(0.9 - 0.925)
    score, shift = on_networks_of(lines["whole"], lines["sampled"])
    assert score == pytest.approx(0.925) and shift == pytest.approx(0.1)
    assert [line.theory for line in open_cases(order[0], order)] == ["sampled"]
    assert ties(order[0], order) == []
    assert leader(order[1:2]).theory == "sampled" and leader(order[:0:-1]).theory == "worse"
    better = card(rows("whole", 0.85), [row for row in rows("sampled", 0.9) if row.base == 3])
    order = ranked(list(better.values()))
    assert (
        order[0].theory == "sampled" and leader(order).theory == "whole"
    )  # one base network has no interval


def test_a_difference_is_paired_and_ties_are_found():
    """Both share the effect of the last base network, which is in each score's interval, not in theirs."""
    lines = card(rows("first", 0.82, noise=0.001), rows("second", 0.80, noise=0.001))
    gap = advantage(lines["first"], lines["second"])
    assert gap.above and gap.interval[1] - gap.interval[0] < 0.02
    low, high = lines["first"].interval
    assert high - low > 0.05
    assert ties(lines["first"], list(lines.values())) == []
    close = card(rows("first", 0.8001, noise=0.01), rows("second", 0.80, noise=0.01))
    order = ranked(list(close.values()))
    assert ties(order[0], order) == order[1:]
    assert advantage(order[0], order[0]).value == 0
    assert advantage(order[0], order[1]).value == pytest.approx(-advantage(order[1], order[0]).value)


def test_the_best_is_of_those_that_beat_the_nulls():
    """The highest score is not shown to be above the null, the next is: it explains, and the two may tie."""
    lines = card(
        rows("unchanged", 0.0),
        rows("answer-bias", 0.7, grade="fitted"),
        rows("high", 0.81, noise=0.3),
        rows("sure", 0.8, noise=0.001),
    )
    order = ranked([lines["high"], lines["sure"]])
    assert not beats_nulls(lines["high"]) and beats_nulls(lines["sure"])
    assert leader(order) is lines["sure"]


def test_lines_without_a_score_have_no_rank():
    lines = card(rows("first", 0.8), rows("second", 0.5))
    first, second = lines["first"], lines["second"]
    without = [replace(second, explained=None), replace(second, explained=float("nan"))]
    assert ranked([*without, first]) == [first] and ranked(without) == ranked([]) == []


def test_a_line_covers_another_whose_networks_it_has():
    lines = card(rows("whole", 0.8), [row for row in rows("few", 0.8) if row.base < 3])
    whole, few = lines["whole"], lines["few"]
    assert covers(whole, few) and covers(whole, whole) and not covers(few, whole)
    unknown = replace(whole, sample=None)
    assert not covers(unknown, few) and not covers(whole, unknown)
    assert on_networks_of(replace(whole, explained=0.7), whole) == (0.7, whole.shift)  # as it stands
    assert on_networks_of(replace(whole, explained=None), few) == (None, pytest.approx(0.1))


def test_what_is_not_missed_is_explained_and_never_more_than_all():
    assert of_the_rest(Estimate(0.25, 0.1, (0.125, 0.375))) == (0.625, 0.875)
    assert of_the_rest(Estimate(0.25, 0.2, (-0.125, 0.625))) == (0.375, 1.0)
    assert of_the_rest(Estimate(0.25)) is None


def test_doses_can_be_compared():
    line = card(rows("first", 0.8, noise=0.01))["first"]
    later = card(rows("first", 0.8, noise=0.01, dose=16, shift=0.3))["first"]
    gap = advantage(line, later)
    assert gap.value == pytest.approx(0.0) and gap.interval is not None


def test_the_best_null_is_that_of_the_same_networks():
    """`answer-bias` beats `unchanged`, and scores more on the last base network than on all of them."""
    lines = card(
        rows("unchanged", 0.0), rows("answer-bias", 0.7, grade="fitted"), rows("first", 0.8, noise=0.001)
    )
    first = lines["first"]
    assert first.best_null == "answer-bias" and beats_nulls(first)
    assert first.over_null == pytest.approx(first.explained - lines["answer-bias"].explained)
    assert lines["answer-bias"].best_null is None and lines["unchanged"].over_null is None
    short = card(
        rows("unchanged", 0.0), rows("answer-bias", 0.7, grade="fitted"), rows("first", 0.69, noise=0.001)
    )
    assert not beats_nulls(short["first"]) and short["first"].over_null < 0
    still = [replace(row, nats=row.shift) for row in rows("answer-bias", 0.0, grade="fitted")]
    unmoved = [replace(row, theory="unchanged", grade="forecast") for row in still]
    for nulls in ([still, unmoved], [unmoved, still]):  # of equal ones the simplest
        assert card(*nulls, rows("first", 0.8))["first"].best_null == "unchanged"
    few = [row for row in rows("few", 0.8) if row.base == 3]
    line = card(rows("unchanged", 0.0), rows("answer-bias", 0.7, grade="fitted"), few)["few"]
    assert line.over_null == pytest.approx(0.9 - 0.85) and line.over_null_interval is None
    assert not beats_nulls(line)
    elsewhere = [row for row in rows("answer-bias", 0.7, grade="fitted") if row.base < 3]
    assert card(rows("unchanged", 0.0), elsewhere, rows("first", 0.8))["first"].best_null == "unchanged"
    assert card(elsewhere, rows("first", 0.8))["first"].best_null is None


def test_a_null_fitted_in_domain_is_no_rival_there():
    groups = {"group": "in_domain"}
    lines = card(
        rows("unchanged", 0.0, **groups),
        rows("answer-bias", 0.9, grade="fitted", **groups),
        rows("a", 0.8, **groups),
    )
    assert lines["answer-bias"].explained is None and lines["a"].best_null == "unchanged"


def test_a_theory_that_rules_out_an_answer_is_infinitely_bad():
    ruled = [replace(row, nats=(np.inf, *row.nats[1:])) for row in rows("ruled", 0.8)]
    lines = card(rows("unchanged", 0.0), ruled, rows("ruled-too", 0.8), rows("fine", 0.5))
    line = lines["ruled"]
    assert line.explained == line.over_null == -np.inf and line.interval is None and is_worse(line)
    assert [line.theory for line in ranked(list(lines.values()))][-1] == "ruled"
    assert advantage(line, line).value == 0 and advantage(lines["fine"], line).value == np.inf


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_a_replica_leaves_twice_what_the_centre_leaves():
    """Orders of D' as draws about a centre: KL between two is twice the KL from the centre, on average."""
    random = np.random.default_rng(0)
    centre = random.normal(size=(200, 1, 4))
    draws = softmax(centre + 0.05 * random.normal(size=(200, 400, 4)))
    middle = draws.mean(axis=1, keepdims=True)
    kl = [np.sum(draws * np.log(draws / other), axis=-1).mean() for other in (draws[:, ::-1], middle)]
    assert kl[0] / kl[1] == pytest.approx(2.0, rel=0.01)


def test_the_order_blind_bound_is_what_the_centre_scores():
    """Networks of two orders each: the centre's score is on the bound, the replica's below it."""
    random = np.random.default_rng(1)
    bases, seeds = 8, 40
    base, centre = softmax(random.normal(size=(2, bases, seeds, 4)))
    first, second = (softmax(np.log(centre) + 0.1 * random.normal(size=centre.shape)) for _ in range(2))

    def kl(other):
        return np.sum(first * np.log(first / other), axis=-1)

    def of(theory, nats):
        made = list(rows(theory, 0.0, bases=bases, seeds=seeds))
        numbers = zip(made, nats, kl(base), kl(second), strict=True)
        return [replace(row, nats=tuple(n), shift=tuple(s), replica=tuple(r)) for row, n, s, r in numbers]

    lines = card(of("centre", kl(centre)), of("replica", kl(second)))
    line = lines["centre"]
    assert line.noise_ceiling == pytest.approx(lines["replica"].explained)
    left = 1 - np.array([line.explained, line.order_blind, line.noise_ceiling])
    np.testing.assert_allclose(left / left[0], [1, 1, 2], rtol=0.15)
    gap = below_order_blind(line)
    assert not gap.above and not gap.below  # within the noise
    assert below_order_blind(lines["replica"]).above


def test_lines_without_their_networks_have_differences_of_scores_and_no_intervals():
    lines = card(rows("first", 0.8, noise=0.001), rows("second", 0.5))
    first = replace(lines["first"], sample=None, explained=0.8, order_blind=0.95, best_in_class=0.85)
    second = replace(lines["second"], explained=0.5)
    for gap, value in (
        (advantage(first, second), 0.3),
        (advantage(second, first), -0.3),
        (advantage(first, replace(second, explained=None)), 0.8),
        (advantage(replace(first, explained=None), second), -0.5),
        (below_order_blind(first), 0.15),
        (below_order_blind(replace(first, explained=None)), 0.95),
        (below_order_blind(replace(first, order_blind=None)), -0.8),
        (class_below_order_blind(first), 0.1),
        (class_below_order_blind(replace(first, best_in_class=None)), 0.95),
        (class_below_order_blind(replace(first, order_blind=None)), -0.85),
    ):
        assert gap.value == pytest.approx(value) and gap.interval is None
    assert on_networks_of(first, second) == (0.8, first.shift)
    assert on_networks_of(second, first) == (0.5, second.shift)


def test_the_class_of_a_theory_is_compared_with_the_order_blind_bound_on_networks():
    """The best member misses nothing, and the bound half of the replica's distance: 0.01 of the shift."""
    line = card(rows("first", 0.8, noise=0.001))["first"]
    gap = class_below_order_blind(line)
    assert gap.value == pytest.approx(-0.01) and gap.interval is not None
    alone = card([replace(row, replica=None) for row in rows("first", 0.8)])["first"]
    assert below_order_blind(alone).value == pytest.approx(1 - alone.explained)
    assert class_below_order_blind(alone).value == 0
