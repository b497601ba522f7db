"""Scores of made-up answers whose right score is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.reports.sentences import findings
from experiments.scoring import labels
from experiments.scoring import rows as scoring
from experiments.scoring.fits import finer, least_of_mixtures
from experiments.scoring.labels import LAST_DOSE, NULLS
from experiments.scoring.predictions import BASE, NETWORK, predictions
from experiments.scoring.scorecard import score_json, scorecard
from experiments.storage.contents import PosteriorCell, ReplayCell, RetrainedCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create
from theory.errors import Misuse

RANDOM = np.random.default_rng(0)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


CONFIG = {"finetuning": {"doses": [1, 4], "n": 8, "batch": 4}}
PASSES = np.array([0.5, 2.0])


@pytest.fixture
def made_up(tmp_path, make):
    """Two bases, two seeds, two doses; the geometric path is exactly right, the noise is large at the first
    dose."""
    results = create(tmp_path, {"study": "made-up", "preset": "none", "config": CONFIG}, {})
    groups = np.array(["in_domain"] * 3 + ["held_out"] * 4)
    base = log_softmax(RANDOM.normal(size=(7, 3)))
    goal = log_softmax(RANDOM.normal(size=(7, 3)))
    betas = np.array([0.0, 0.01, 0.1, 0.3, 1.0])
    path = log_softmax(base + betas[:, None, None] * (goal - base))
    still = np.stack([path[:1], path[:1]]).repeat(5, axis=1)
    ladders = [
        Ladder("geometric-path", "network", betas, np.stack([path, path])),
        Ladder("tempered-posterior", "process", 4 * betas, still, "mixture"),
    ]
    contexts = make.contexts(base, groups, np.stack([base, goal]))
    for index in range(2):
        results.save(Cell("theories", "arm", index), make.theories(contexts, ladders))
        tuned = np.stack([np.stack([path[1], path[3]])] * 2)
        replica = tuned.copy()
        replica[:, 0] = log_softmax(RANDOM.normal(size=(2, 7, 3)))
        results.save(Cell("finetuned", "arm", index, "sgd"), make.finetuned(tuned, replica))
        strengths = {"tempered-posterior/process": PASSES}
        results.save(Cell("replays", "arm", index, "sgd"), ReplayCell({"linearised": tuned * 1.0}, strengths))
    return results


def select(records, **wanted):
    """The records with the wanted values."""
    return [
        record for record in records if all(getattr(record, name) == value for name, value in wanted.items())
    ]


def card(results, **wanted):
    (line,) = select(scorecard(scoring.rows(results)), **wanted)
    return line


def test_a_right_theory_explains_everything_with_the_right_beta(made_up):
    line = card(made_up, theory="geometric-path", group="held_out", dose=4)
    assert line.explained == pytest.approx(1, abs=1e-6)
    assert line.beta == pytest.approx(0.3)
    assert line.grade == "fitted"
    assert line.networks == 4
    assert line.best_in_class == pytest.approx(1, abs=1e-6)


def test_nothing_changed_explains_nothing(made_up):
    line = card(made_up, theory="unchanged", group="held_out", dose=4)
    assert line.explained == 0
    assert line.nats == line.shift > 0


def test_a_shift_within_the_noise_is_undefined(made_up):
    line = card(made_up, theory="geometric-path", group="held_out", dose=1)
    assert line.explained is None
    assert line.standard_error is None
    assert line.nats == pytest.approx(0, abs=1e-6)


def test_nothing_is_scored_on_what_it_was_fitted_to(made_up):
    line = card(made_up, theory="geometric-path", group="in_domain", dose=4)
    assert line.explained is None
    assert card(made_up, theory="linearised", group="in_domain", dose=4).explained == pytest.approx(1)


def test_a_stuck_mixture_is_distinguished_from_its_class(made_up):
    """A tempered posterior that stays at the base scores 0; free weights over its components do better."""
    line = card(made_up, theory="tempered-posterior", grade="fitted", group="held_out", dose=4)
    assert line.explained == pytest.approx(0, abs=1e-6)
    assert line.best_in_class > 0.5


def test_a_forecast_is_at_the_nearest_strength_of_its_ladder(made_up):
    line = card(made_up, theory="tempered-posterior", grade="forecast", group="held_out", dose=4)
    betas = finer(4 * np.array([0.0, 0.01, 0.1, 0.3, 1.0]), np.zeros((1, 5, 1, 2)))[0]
    assert line.beta == pytest.approx(betas[np.abs(betas - PASSES[1]).argmin()])


def test_a_law_is_scored_on_what_it_has_not_seen(tmp_path, make):
    """Four seeds and doses whose β is a power of the dose: fitted on two of each, and exact at the others."""
    results = create(
        tmp_path, {"study": "s", "preset": "none", "config": {"finetuning": {"doses": [1, 2, 4, 8]}}}, {}
    )
    group = np.array(["in_domain"] * 3 + ["held_out"] * 4)
    base, goal = (log_softmax(RANDOM.normal(size=(7, 3))) for _ in range(2))
    betas = np.concatenate([[0.0], np.logspace(-2, 0.5, 41)])
    path = log_softmax(base + betas[:, None, None] * (goal - base))
    ladder = Ladder("geometric-path", "network", betas, np.stack([path] * 4))
    contexts = make.contexts(base, group, np.stack([base, goal]))
    results.save(Cell("theories", "arm", 0), make.theories(contexts, [ladder]))
    wanted = 0.1 * np.array([1.0, 2.0, 4.0, 8.0]) ** 0.8
    tuned = np.stack([log_softmax(base + wanted[:, None, None] * (goal - base))] * 4)
    results.save(Cell("finetuned", "arm", 0, "sgd"), make.finetuned(tuned))
    rows = select(scoring.rows(results), grade="law", group="held_out")
    assert [row.dose for row in rows] == [2, 8]
    assert all("every other dose" in row.split and len(row.nats) == 2 for row in rows)
    lines = scorecard(rows)
    assert all(line.explained > 0.999 and line.networks == 2 for line in lines)
    for row, beta in zip(rows, wanted[1::2], strict=True):
        np.testing.assert_allclose(row.beta, beta, rtol=0.03)  # the ladder's finest rungs


def test_a_shift_of_rounding_errors_is_undefined(made_up):
    row = next(row for row in scoring.rows(made_up) if row.grade == "forecast" and row.dose == 4)
    tiny = replace(row, shift=(1e-8,) * 2, replica=(0.0,) * 2, nats=(0.0,) * 2)
    assert scorecard([tiny])[0].explained is None
    assert scorecard([replace(tiny, shift=(1e-4,) * 2)])[0].explained == 1


def test_a_forecast_past_the_end_of_its_grid_says_nothing(made_up):
    """Two passes at dose 4, and a grid up to one for one base network: the line is over the others, which it
    says."""
    shorten(made_up, base=0)
    rows = select(scoring.rows(made_up), theory="tempered-posterior", grade="forecast", dose=4)
    assert {row.base for row in rows} == {1} and {row.failures for row in rows} == {None}
    before = select(scoring.rows(made_up), theory="tempered-posterior", grade="forecast", dose=1)
    assert {row.base for row in before} == {0, 1}
    line = card(made_up, theory="tempered-posterior", grade="forecast", group="held_out", dose=4)
    assert (line.networks, line.finetuned, line.failed) == (2, 4, 0) and np.isfinite(line.explained)
    assert labels.networks(line) == "2 of 4" and labels.marks(line).endswith("†")
    fitted = card(made_up, theory="tempered-posterior", grade="fitted", group="held_out", dose=4)
    assert (labels.networks(fitted), fitted.finetuned) == ("4", 4) and "†" not in labels.marks(fitted)


def test_a_theory_that_fails_for_a_network_scores_minus_infinity(made_up):
    """Not solved beyond 1.2 passes for one of two base networks: no mean over the others flatters it."""
    cell = Cell("theories", "arm", 1)
    content = made_up.theories(cell)
    path, stuck = content.ladders
    log_probs = stuck.log_probs.copy()
    log_probs[:, 4:] = np.nan
    made_up.save(cell, replace(content, ladders=(path, replace(stuck, log_probs=log_probs))))
    made_up.save_rows(scoring.rows(made_up))
    assert scoring.rows(made_up) == [*made_up.rows()]
    wanted = {"theory": "tempered-posterior", "grade": "forecast", "group": "held_out"}
    (failed,) = select(made_up.rows(), **wanted, dose=4, base=1)
    assert failed.nats == (np.inf, np.inf) and failed.failures == (scoring.FAILED,) * 2
    line = card(made_up, **wanted, dose=4)
    assert (line.explained, line.networks, line.failed, line.failure) == (-np.inf, 4, 2, scoring.FAILED)
    assert labels.networks(line) == "4, 2 failed: its answers are not numbers"
    assert card(made_up, **wanted, dose=1).failed == 0
    fitted = card(made_up, **wanted | {"grade": "fitted"}, dose=4)
    assert fitted.failed == 0 and np.isfinite(fitted.explained)


def test_a_replay_that_diverges_for_a_network_fails_and_does_not_vanish(made_up):
    """One finetuning seed of one base network: the other networks alone would be explained exactly."""
    cell = Cell("replays", "arm", 0, "sgd")
    content = made_up.replays(cell)
    answers = content.predictions["linearised"].copy()
    answers[1, 1] = np.nan
    made_up.save(cell, replace(content, predictions={"linearised": answers}))
    wanted = {"theory": "linearised", "group": "held_out"}
    (row,) = select(scoring.rows(made_up), **wanted, dose=4, base=0)
    assert row.nats[1] == np.inf > row.nats[0] and row.failures == ("", scoring.FAILED)
    line = card(made_up, **wanted, dose=4)
    assert (line.explained, line.networks, line.failed) == (-np.inf, 4, 1)
    text = "\n".join(findings(scorecard(scoring.rows(made_up)))["SGD, D′ on arm"])
    assert "Fails for some networks, which scores -∞" in text
    assert "linearised (forecast) at dose 4 (failed for 1 of 4 networks at dose 4: its answers" in text


def shorten(made_up, base):
    """End the grid of the tempered posterior of a base network at one pass."""
    cell = Cell("theories", "arm", base)
    content = made_up.theories(cell)
    path, stuck = content.ladders
    made_up.save(cell, replace(content, ladders=(path, replace(stuck, betas=stuck.betas / 4))))


def test_networks_of_different_bases_are_compared(made_up):
    assert card(made_up, theory="unchanged", group="held_out", dose=4).other_base == pytest.approx(1)


def test_a_strength_is_fitted_on_the_calibration_contexts_alone(made_up):
    """The first in-domain context moves as at the second rung, all others as at the fourth."""
    for base in range(2):
        cell, network = Cell("theories", "arm", base), Cell("finetuned", "arm", base, "sgd")
        content, tuned = made_up.theories(cell), made_up.finetuned(network)
        path = content.ladders[0].log_probs[0]
        answers = np.concatenate([path[1, :1], path[3, 1:]])
        moved = np.broadcast_to(answers, tuned.finetuned.shape)
        made_up.save(network, replace(tuned, finetuned=moved, replica=moved))
        contexts = replace(content.contexts, calibration=np.arange(7) < 1)
        made_up.save(cell, replace(content, contexts=contexts))
    wanted = {"theory": "geometric-path", "grade": "fitted", "group": "held_out", "dose": 4}
    assert card(made_up, **wanted).beta == pytest.approx(0.01)
    for base in range(2):  # without calibration contexts, all in-domain ones
        content = made_up.theories(Cell("theories", "arm", base))
        contexts = replace(content.contexts, calibration=np.zeros(0, bool))
        made_up.save(Cell("theories", "arm", base), replace(content, contexts=contexts))
    assert card(made_up, **wanted).beta > 0.1


def test_every_table_holds_the_nulls(made_up):
    rows = scoring.rows(made_up)
    for name in NULLS[1:]:
        mine = select(rows, theory=name)
        assert {(row.prior, row.grade, row.beta, row.converged) for row in mine} == {
            ("network", "fitted", None, None)
        }
        assert {(row.dose, row.group, row.base) for row in mine} == {
            (row.dose, row.group, row.base) for row in select(rows, theory="unchanged")
        }


def test_every_table_holds_the_yardstick_but_at_the_first_dose(made_up):
    """The made-up network goes straight, from 0.01 of the path to 0.3 of it."""
    mine = select(scoring.rows(made_up), theory=LAST_DOSE)
    assert {(row.prior, row.grade, row.dose) for row in mine} == {("network", "fitted", 4)}
    assert {(row.group, row.base) for row in mine} == {
        (group, base) for group in ("in_domain", "held_out") for base in range(2)
    }
    for row in mine:
        np.testing.assert_allclose(row.beta, 30, rtol=1e-4)
        np.testing.assert_allclose(row.nats, 0, atol=1e-9)
        np.testing.assert_allclose(row.predicted_shift, row.shift, rtol=1e-4)


def test_a_row_says_how_far_the_base_network_is_from_the_process(made_up):
    content = made_up.theories(Cell("theories", "arm", 0))
    exact = log_softmax(content.contexts.base + RANDOM.normal(size=(7, 3)))
    made_up.save(
        Cell("theories", "arm", 0), replace(content, contexts=replace(content.contexts, exact=exact))
    )
    gap = np.sum(np.exp(exact) * (exact - content.contexts.base), axis=-1)
    for group, inside in (("in_domain", slice(0, 3)), ("held_out", slice(3, 7))):
        errors = {row.base_error for row in select(scoring.rows(made_up), base=0, group=group)}
        assert errors == {float(f"{gap[inside].mean():.7g}")}
        assert {row.base_error for row in select(scoring.rows(made_up), base=1, group=group)} == {0.0}


def test_a_row_has_the_resolution_that_was_measured(made_up):
    cell = Cell("theories", "arm", 0)
    made_up.save(cell, replace(made_up.theories(cell), resolution=np.arange(7) * 1e-3))
    rows = select(scoring.rows(made_up), theory="unchanged", dose=4)
    assert {(row.base, row.group): row.resolution for row in rows} == {
        (0, "in_domain"): 0.001,
        (0, "held_out"): 0.0045,
        (1, "in_domain"): None,
        (1, "held_out"): None,
    }


def test_mixtures_are_fitted_once_for_each_group_and_reference(made_up):
    contexts = made_up.theories(Cell("theories", "arm", 0)).contexts
    target = made_up.finetuned(Cell("finetuned", "arm", 0, "sgd")).finetuned
    known, reference = scoring.Mixtures(target, contexts), log_softmax(RANDOM.normal(size=(7, 3)))
    plain, anchored = known.least("held_out", None), known.least("held_out", reference)
    wanted = least_of_mixtures(target[..., 3:, :], contexts.of("held_out"), reference[3:])
    np.testing.assert_allclose(anchored, wanted)
    assert np.abs(plain - anchored).min() > 1e-3
    assert known.least("held_out", None) is plain
    assert known.least("held_out", reference + 1e-6) is anchored
    assert known.least("held_out", reference + 0.01) is not anchored
    assert known.least("in_domain", reference) is not anchored


def test_a_rate_is_a_second_forecast_under_a_name_of_its_own(made_up):
    """β = rate × learning-rate time, for each network; none where the method has no such time."""
    for base in range(2):
        cell = Cell("theories", "arm", base)
        content = made_up.theories(cell)
        path, stuck = content.ladders
        rated = replace(stuck, rate=np.array([0.5, 2.0]))
        made_up.save(cell, replace(content, ladders=(path, rated)))
        replays = made_up.replays(Cell("replays", "arm", base, "sgd"))
        times = {"identity": np.array([0.1, 0.4])}
        made_up.save(Cell("replays", "arm", base, "sgd"), replace(replays, times=times))
    rows = select(scoring.rows(made_up), theory="tempered-posterior-by-rate", group="held_out")
    assert {(row.grade, row.prior) for row in rows} == {("forecast", "process")}
    for row in rows:
        wanted = np.array([0.5, 2.0]) * {1: 0.1, 4: 0.4}[row.dose]
        np.testing.assert_allclose(row.beta, wanted, rtol=0.05)
    passes = select(scoring.rows(made_up), theory="tempered-posterior", grade="forecast", dose=4)
    assert all(row.beta[0] == pytest.approx(2, rel=0.05) for row in passes)


def test_a_theory_that_rules_out_an_answer_scores_minus_infinity(made_up):
    """At the rungs of its forecast in held-out contexts alone: there is a row, with nats = ∞."""
    for base in range(2):
        content = made_up.theories(Cell("theories", "arm", base))
        path, stuck = content.ladders
        log_probs = stuck.log_probs.copy()
        log_probs[:, 3:, 3:] = np.log([0.5, 0.5, 1e-300])
        log_probs[:, 3:, 3:, 2] = -np.inf
        ladders = path, replace(stuck, log_probs=log_probs)
        made_up.save(Cell("theories", "arm", base), replace(content, ladders=ladders))
    wanted = {"theory": "tempered-posterior", "grade": "forecast", "dose": 4}
    made_up.save_rows(scoring.rows(made_up))
    assert scoring.rows(made_up) == [*made_up.rows()]
    for row in select(made_up.rows(), **wanted, group="held_out"):
        assert row.nats == (np.inf, np.inf)
    line = card(made_up, **wanted, group="held_out")
    assert (line.explained, line.standard_error) == (-np.inf, None)
    assert line.best_in_class > 0  # free weights rule nothing out
    values = json.loads(json.dumps(line.to_json(), allow_nan=False))
    assert (values["explained"], values["nats"]) == ("-inf", "inf")
    assert np.isfinite(card(made_up, **wanted, group="in_domain").explained)


TIMES = np.array([0.0, 0.2, 0.4, 0.8])
PER_TIME = (100, 50)
SAMPLED_THEORIES = ("langevin-posterior", "adam-gibbs")


@pytest.fixture
def sampled(made_up):
    """Also with chains, of one finetuning seed, which are exactly right; β = 100 τ at the first base and 50 τ
    at the second; those of the third rung have not converged at the first base."""
    for base in range(2):
        network = Cell("finetuned", "arm", base, "sgd")
        path = made_up.theories(network).ladders[0].log_probs[:1, [0, 1, 3, 4]]
        problems = np.array([["", "", "It is too warm." * (base == 0), ""]])
        ladders = [
            Ladder(theory, "T=0.001", TIMES * PER_TIME[base], path, "path", problems, None, TIMES, metric)
            for theory, metric in zip(SAMPLED_THEORIES, ("identity", "adam"), strict=True)
        ]
        made_up.save(network.other("posteriors"), PosteriorCell(tuple(ladders)))
        replays, tuned = made_up.replays(network), made_up.finetuned(network)
        for method, metric, rate in (("sgd", "identity", 0.1), ("adam", "adam", 0.075)):
            times = {metric: rate * np.array([1.0, 4.0])}
            made_up.save(network.other("replays", method), replace(replays, times=times))
        made_up.save(network.other("finetuned", "adam"), tuned)
    return made_up


def one_row(results, **wanted):
    (row,) = select(scoring.rows(results), **wanted)
    return row


def test_rows_say_which_networks_rest_on_converged_chains(sampled):
    """The fit finds the second rung at the first dose, the third at the last; chains are of one seed."""
    wanted = {"theory": "langevin-posterior", "grade": "fitted", "group": "held_out", "method": "sgd"}
    for base, beta in enumerate(PER_TIME):
        first, last = (one_row(sampled, **wanted, base=base, dose=dose) for dose in (1, 4))
        assert first.beta == pytest.approx([0.2 * beta]) and last.beta == pytest.approx([0.4 * beta])
        assert first.converged == (True,)
        assert last.converged == (base == 1,)
    assert card(sampled, **wanted, dose=1).converged == 1.0
    assert card(sampled, **wanted, dose=4).converged == 0.5
    others = [row.converged for row in scoring.rows(sampled) if row.prior != "T=0.001"]
    assert others and set(others) == {None}


def test_only_sampled_networks_are_scored(sampled):
    """Seeds without chains are in neither sum: one for each base, where other theories have two."""
    cell = Cell("finetuned", "arm", 0, "sgd")
    content = sampled.finetuned(cell)
    tuned = content.finetuned.copy()
    tuned[1] = log_softmax(RANDOM.normal(size=(2, 7, 3)))  # the seed that was not sampled
    sampled.save(cell, replace(content, finetuned=tuned))
    wanted = {"grade": "fitted", "group": "held_out", "method": "sgd", "dose": 4}
    line = card(sampled, theory="langevin-posterior", **wanted)
    assert line.networks == 2
    assert line.explained == pytest.approx(1, abs=1e-6)
    other = card(sampled, theory="geometric-path", **wanted)
    assert other.networks == 4
    assert other.explained < 0.99
    row = one_row(sampled, theory="langevin-posterior", base=0, **wanted)
    numbers = ("nats", "shift", "replica", "other_base", "best_in_class", "beta", "converged")
    assert {len(getattr(row, name)) for name in numbers} == {1}
    full = one_row(sampled, theory="unchanged", base=0, **(wanted | {"grade": "forecast"}))
    for name in ("shift", "replica", "other_base"):
        assert getattr(row, name) == getattr(full, name)[:1]


def test_a_law_of_sampled_posteriors_has_a_verdict_for_each_of_its_seeds(made_up):
    """Chains of both seeds: the law is applied to the first, and so is what its chains say."""
    network = Cell("finetuned", "arm", 0, "sgd")
    path = made_up.theories(network).ladders[0]
    problems = np.array([["", "", "", "", ""], ["", "bad", "bad", "bad", "bad"]])
    sampled = replace(path, theory="langevin-posterior", prior="T=0.001", problems=problems)
    made_up.save(network.other("posteriors"), PosteriorCell((sampled,)))
    networks, doses = made_up.finetuned(network), [1, 2, 4]
    tuned = path.log_probs[:, [1, 2, 3]]
    longer = {"study": "made-up", "preset": "none", "config": {"finetuning": {"doses": doses}}}
    cells = {cell: made_up.load(cell) for cell in made_up.cells()}
    made_up = create(made_up.folder / "longer", longer, {})
    for cell, content in cells.items():
        made_up.save(cell, content)
    made_up.save(
        network,
        replace(networks, finetuned=tuned, replica=tuned, loss=np.zeros((2, 3)), distance=np.zeros((2, 3))),
    )
    made_up.path(Cell("finetuned", "arm", 1, "sgd")).unlink()
    made_up.path(network.other("replays", "sgd")).unlink()
    law = select(scoring.rows(made_up), theory="langevin-posterior", grade="law")
    assert {row.dose for row in law} == {2} and {row.converged for row in law} == {(True,)}


def test_a_sampled_forecast_is_at_the_time_of_the_recipe(sampled):
    """At the method's learning-rate time, SGD's in the identity metric and Adam's in its own; each network
    has
    its own β(τ), and a theory says nothing of a method that is no flow in its metric."""
    rows = scoring.rows(sampled)
    forecasts = {(row.method, row.theory) for row in rows if row.grade == "forecast"}
    wanted = {"grade": "forecast", "group": "held_out"}
    for method, theory, rate in (("sgd", "langevin-posterior", 0.1), ("adam", "adam-gibbs", 0.075)):
        assert [names for names in forecasts if names[0] == method and names[1] in SAMPLED_THEORIES] == [
            (method, theory)
        ]
        for base, per_time in enumerate(PER_TIME):
            fine = finer(TIMES * per_time, np.zeros((1, 4, 1, 2)))[0] / per_time
            for dose in (1, 4):
                row = one_row(sampled, method=method, theory=theory, base=base, dose=dose, **wanted)
                time = row.beta[0] / per_time
                assert abs(time - rate * dose) < np.abs(fine - rate * dose).min() + 1e-6
                assert time == pytest.approx(rate * dose, rel=0.03)
                assert row.converged == (rate * dose < 0.2 or base == 1,)  # the third rung is bad


def test_a_strength_that_its_theory_gives_goes_before_that_of_the_time(sampled):
    cell = Cell("replays", "arm", 0, "sgd")
    replays, ladder = sampled.replays(cell), sampled.posteriors(cell).ladders[1]
    np.testing.assert_allclose(replays.strength(ladder), [10.0, 40.0])
    given = replace(replays, strengths={ladder.name: np.array([1.0, 2.0])})
    np.testing.assert_array_equal(given.strength(ladder), [1.0, 2.0])
    assert replays.strength(replace(ladder, metric="adam")) is None
    assert replays.strength(replace(ladder, times=None)) is None


def test_chains_in_the_making_leave_the_other_theories_alone(sampled):
    before = [row for row in scoring.rows(sampled) if row.prior != "T=0.001"]
    for base in range(2):
        sampled.path(Cell("posteriors", "arm", base)).unlink()
    sampled.fail(Cell("posteriors", "arm", 0), "It failed.")
    assert scoring.rows(sampled) == before
    assert {row.prior for row in before} == {"network", "process"}


def test_rows_do_not_depend_on_the_order_of_cells_on_disk(made_up):
    first = scoring.rows(made_up)
    cell = Cell("finetuned", "arm", 0, "sgd")
    made_up.save(cell, made_up.load(cell))
    assert scoring.rows(made_up) == first
    assert (
        len(first) == 2 * 2 * 2 * (5 + 3) + 2 * 2
    )  # bases × doses × groups × (theories and grades, and nulls); bases ×
    # groups of the yardstick, which the first dose lacks


def test_the_table_is_the_saved_one_or_else_made(made_up):
    rows = scoring.table(made_up)
    assert rows == scoring.rows(made_up)
    made_up.save_rows(rows[:3])
    assert [*scoring.table(made_up)] == rows[:3]


def test_arms_and_methods_with_dashes_are_kept_apart(made_up):
    """`same-start` of `kl-lifted` and `start` of `kl-lifted-same` have other cells and other rows."""
    theories, network = (
        made_up.load(Cell("theories", "arm", 0)),
        made_up.load(Cell("finetuned", "arm", 0, "sgd")),
    )
    for arm, method in (("same-start", "kl-lifted"), ("start", "kl-lifted-same"), ("blob2", "sgd")):
        made_up.save(Cell("theories", arm, 0), theories)
        made_up.save(Cell("finetuned", arm, 0, method), network)
    rows = scoring.rows(made_up)
    assert all((row.other_base is None) == (row.data != "arm") for row in rows)  # others are single networks
    named = {(row.method, row.data, row.base) for row in rows}
    assert named == {
        ("kl-lifted", "same-start", 0),
        ("kl-lifted-same", "start", 0),
        ("sgd", "blob2", 0),
        ("sgd", "arm", 0),
        ("sgd", "arm", 1),
    }


def test_json_has_the_names_of_one_version_ago_too(made_up):
    lines = scorecard(scoring.rows(made_up))
    for line, values in zip(lines, score_json(lines), strict=True):
        assert (values["floor"], values["ceiling"]) == (line.noise_ceiling, line.best_in_class)
        assert values["networks"] == line.networks and values["other_base"] == line.other_base


def test_predictions_are_at_the_strengths_of_the_rows(made_up):
    """Fitted theories at the β of their rows, theories that follow a method as they are, networks first."""
    rows = select(scoring.rows(made_up), group="held_out", method="sgd")
    every = list(predictions(made_up, rows))
    assert len(every) == 2
    for base, (contexts, answers) in enumerate(every):
        cell = Cell("finetuned", "arm", base, "sgd")
        tuned = made_up.finetuned(cell).finetuned[..., 3:, :]
        assert list(answers) == [NETWORK, BASE, "linearised", "geometric-path", "tempered-posterior"]
        assert contexts.groups == ["held_out"] and len(contexts.questions) == 4
        np.testing.assert_array_equal(answers[NETWORK], tuned)
        np.testing.assert_array_equal(answers["linearised"], tuned)
        np.testing.assert_allclose(answers["geometric-path"], tuned, atol=1e-12)
        np.testing.assert_array_equal(answers[BASE][1, 1], contexts.base)
        np.testing.assert_allclose(answers["tempered-posterior"], answers[BASE], atol=1e-12)


def test_predictions_without_their_cells_are_refused(made_up):
    rows = select(scoring.rows(made_up), group="held_out")
    made_up.path(Cell("theories", "arm", 1)).unlink()
    with pytest.raises(Misuse, match="rows of sgd on arm, base 1, but not the cells"):
        list(predictions(made_up, rows))


def test_files_are_read_once(made_up, monkeypatch):
    """The config for a cell, not for each of its rows; the table and its scores for every figure together."""
    configs, reads = [], type(made_up).config.fget
    monkeypatch.setattr(type(made_up), "config", property(lambda run: configs.append(1) or reads(run)))
    table = scoring.rows(made_up)
    cells = made_up.finished_cells()
    assert len(configs) < 10 * len(cells) < len(table)
    made_up.save_rows(table)
    assert all(one is other for one, other in zip(made_up.rows(), made_up.rows(), strict=True))
    pairs = zip(scorecard(made_up.rows()), scorecard(made_up.rows()), strict=True)
    assert all(one is other for one, other in pairs)


def test_retrained_networks_are_a_line_of_the_scorecard(made_up):
    """A network pretrained on the right share answers as the finetuned one does; of the first D' alone."""
    theories = made_up.theories(Cell("theories", "arm", 0))
    path = theories.ladders[0]
    ladder = Ladder("retrained", "network", path.betas, path.log_probs[:1])
    made_up.save(Cell("retrained", "arm", 0), RetrainedCell(ladder))
    rows = [row for row in scoring.rows(made_up) if row.theory == "retrained" and row.grade == "fitted"]
    assert {(row.base, row.group) for row in rows} == {(0, "in_domain"), (0, "held_out")}
    assert all(len(row.nats) == 1 for row in rows)
    at_last = next(row for row in rows if (row.group, row.dose) == ("held_out", 4))
    np.testing.assert_allclose([*at_last.beta, *at_last.nats], [0.3, 0.0], atol=1e-3)
