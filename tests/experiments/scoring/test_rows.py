"""Scores of made-up answers whose right score is known."""

import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.storage import run_folder as disk

RANDOM = np.random.default_rng(0)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_an_answer_that_a_rung_rules_out_is_ruled_out_beside_it():
    rungs = np.log(np.full((1, 3, 2, 3), 1 / 3))
    rungs[0, 1:, 0] = [-np.inf, np.log(0.5), np.log(0.5)]
    with np.errstate(all="raise", under="ignore"):
        _, between = scoring.finer(np.array([0.0, 1.0, 2.0]), rungs)
    assert not np.isnan(between).any()
    np.testing.assert_allclose(np.exp(between[0, 1:, 0]), [[0, 0.5, 0.5]] * (between.shape[1] - 1))
    np.testing.assert_allclose(np.exp(between[0, :, 1]), 1 / 3)


def test_the_fit_finds_the_rung_that_made_the_answers():
    rungs = log_softmax(RANDOM.normal(size=(2, 7, 5, 4)))
    target = np.stack([rungs[0, [1, 4]], rungs[1, [6, 0]]])
    np.testing.assert_array_equal(scoring._fit(target, rungs), [[1, 4], [6, 0]])
    np.testing.assert_allclose(scoring._path_ceiling(target, rungs), 0, atol=1e-12)


def test_finer_ladders_keep_their_rungs_and_stay_normalised():
    betas = np.array([0.0, 0.1, 1.0, 10.0])
    rungs = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    fine, between = scoring.finer(betas, rungs)
    count = (between.shape[1] - 1) // (len(betas) - 1)
    assert between.shape[1] > scoring.FINE
    np.testing.assert_allclose(between[:, ::count], rungs)
    np.testing.assert_allclose(fine[::count], betas, rtol=1e-6)
    np.testing.assert_allclose(np.exp(between).sum(axis=-1), 1)
    assert (np.diff(fine) > 0).all()
    np.testing.assert_allclose(np.diff(fine[: count + 1]), 0.1 / count)  # evenly from 0 to the first rung
    np.testing.assert_allclose(np.diff(np.log(fine[count:])), np.log(10) / count)


def test_a_rung_beside_a_lost_one_is_kept():
    betas = np.array([0.0, 0.1, 1.0, 10.0])
    rungs = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    rungs[0, 1] = np.nan
    fine, between = scoring.finer(betas, rungs)
    count = (between.shape[1] - 1) // (len(betas) - 1)
    np.testing.assert_allclose(between[:, ::count], rungs)
    lost = np.isnan(between).any(axis=(-1, -2))
    assert not lost[1].any()
    assert (lost[0] == ((fine > 0) & (fine < 1 - 1e-9))).all()  # up to the next rung on both sides
    target = np.stack([rungs[:, 0]] * 2, axis=1)
    np.testing.assert_array_equal(fine[scoring._fit(target, between)], 0)
    np.testing.assert_allclose(scoring._path_ceiling(target, between), 0, atol=1e-12)


def test_the_error_of_a_ratio_is_that_of_repeated_experiments():
    """Clustered data: the delta method's error against the spread over many simulated studies."""
    random = np.random.default_rng(1)
    clusters = np.repeat(np.arange(12), 4)
    values, errors = [], []
    for _ in range(800):
        below = 1 + 0.2 * np.repeat(random.normal(size=12), 4) + 0.05 * random.normal(size=48)
        above = 0.3 * below + 0.1 * np.repeat(random.normal(size=12), 4) + 0.05 * random.normal(size=48)
        value, error = scoring.ratio(above, below, clusters)
        values.append(value)
        errors.append(error)
    assert abs(np.mean(values) - 0.3) < 4 * np.std(values) / np.sqrt(800)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors))), np.std(values), rtol=0.1)


def test_one_cluster_and_one_network():
    above, below = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    value, error = scoring.ratio(above, below, np.zeros(3))
    assert value == 1.0
    assert error == pytest.approx(np.std(above / 2, ddof=1) / np.sqrt(3))
    assert scoring.ratio(above[:1], below[:1], np.zeros(1)) == (0.5, None)


CONFIG = {"doses": [1, 4], "n": 8, "batch": 4}


@pytest.fixture
def made_up(tmp_path):
    """Two bases, two seeds, two doses; the geometric path is exactly right, the order floor is large at the
    first dose."""
    results = disk.create(tmp_path, {"study": "made-up", "preset": "none", "config": CONFIG}, {})
    groups = np.array(["in_domain"] * 3 + ["held_out"] * 4)
    base = log_softmax(RANDOM.normal(size=(7, 3)))
    goal = log_softmax(RANDOM.normal(size=(7, 3)))
    betas = np.array([0.0, 0.01, 0.1, 0.3, 1.0])
    path = log_softmax(base + betas[:, None, None] * (goal - base))
    components = np.stack([base, goal])
    for index in range(2):
        results.save(
            f"theories-arm-{index}",
            {
                "base": base,
                "group": groups,
                "members": components,
                "evidence": np.zeros((2, 7)),
                "ladder/geometric-path/network": np.stack([path, path]),
                "betas/geometric-path/network": betas,
                "ladder/tempered-posterior/process": np.stack([path[:1], path[:1]]).repeat(5, axis=1),
                "betas/tempered-posterior/process": 4 * betas,
            },
        )
        tuned = np.stack([np.stack([path[1], path[3]])] * 2)
        replica = tuned.copy()
        replica[:, 0] = log_softmax(RANDOM.normal(size=(2, 7, 3)))
        results.save(f"sgd-arm-{index}", {"finetuned": tuned, "twin": replica})
        results.save(f"dynamics-sgd-arm-{index}", {"linearised": tuned * 1.0})
    return results


def card(results, **wanted):
    lines = scoring.scorecard(scoring.rows(results))
    found = [line for line in lines if all(line[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_a_right_theory_explains_everything_with_the_right_beta(made_up):
    line = card(made_up, theory="geometric-path", group="held_out", dose=4)
    assert line["explained"] == pytest.approx(1, abs=1e-6)
    assert line["beta"] == pytest.approx(0.3)
    assert line["grade"] == "fitted"
    assert line["seeds"] == 4
    assert line["ceiling"] == pytest.approx(1, abs=1e-6)


def test_nothing_changed_explains_nothing(made_up):
    line = card(made_up, theory="unchanged", group="held_out", dose=4)
    assert line["explained"] == 0
    assert line["nats"] == line["shift"] > 0


def test_a_shift_under_the_noise_floor_is_undefined(made_up):
    line = card(made_up, theory="geometric-path", group="held_out", dose=1)
    assert line["explained"] is None
    assert line["standard_error"] is None
    assert line["nats"] == pytest.approx(0, abs=1e-6)


def test_nothing_is_scored_on_what_it_was_fitted_to(made_up):
    line = card(made_up, theory="geometric-path", group="in_domain", dose=4)
    assert line["explained"] is None
    assert card(made_up, theory="linearised", group="in_domain", dose=4)["explained"] == pytest.approx(1)


def test_a_stuck_mixture_is_told_from_its_class(made_up):
    """A tempered posterior that stays at the base scores 0; free weights of its members do better."""
    line = card(made_up, theory="tempered-posterior", grade="fitted", group="held_out", dose=4)
    assert line["explained"] == pytest.approx(0, abs=1e-6)
    assert line["ceiling"] > 0.5


def test_the_tempered_forecast_counts_passes(made_up):
    line = card(made_up, theory="tempered-posterior", grade="forecast", group="held_out", dose=4)
    passes = 4 * 4 / 8
    betas = scoring.finer(4 * np.array([0.0, 0.01, 0.1, 0.3, 1.0]), np.zeros((1, 5, 1, 2)))[0]
    assert line["beta"] == pytest.approx(betas[np.abs(betas - passes).argmin()])


def test_a_law_is_scored_on_what_it_has_not_seen(tmp_path):
    """Four seeds and doses whose β is a power of the dose: told of two of each, and exact there."""
    results = disk.create(tmp_path, {"study": "s", "config": CONFIG | {"doses": [1, 2, 4, 8]}}, {})
    group = np.array(["in_domain"] * 3 + ["held_out"] * 4)
    base, goal = (log_softmax(RANDOM.normal(size=(7, 3))) for _ in range(2))
    betas = np.concatenate([[0.0], np.logspace(-2, 0.5, 41)])
    path = log_softmax(base + betas[:, None, None] * (goal - base))
    names = "geometric-path/network"
    told = {"base": base, "group": group, f"ladder/{names}": np.stack([path] * 4), f"betas/{names}": betas}
    components = {"members": np.stack([base, goal]), "evidence": np.zeros((2, 7))}
    results.save("theories-arm-0", told | components)
    wanted = 0.1 * np.array([1.0, 2.0, 4.0, 8.0]) ** 0.8
    tuned = np.stack([log_softmax(base + wanted[:, None, None] * (goal - base))] * 4)
    results.save("sgd-arm-0", {"finetuned": tuned, "twin": tuned})
    rows = [row for row in scoring.rows(results) if row["grade"] == "law" and row["group"] == "held_out"]
    assert [row["dose"] for row in rows] == [2, 8]
    assert all("every other dose" in row["split"] and len(row["nats"]) == 2 for row in rows)
    lines = [line for line in scoring.scorecard(rows)]
    assert all(line["explained"] > 0.999 and line["seeds"] == 2 for line in lines)
    for row, beta in zip(rows, wanted[1::2], strict=True):
        np.testing.assert_allclose(row["beta"], beta, rtol=0.03)  # the ladder's finest rungs


def test_a_shift_of_rounding_errors_is_undefined(made_up):
    row = next(row for row in scoring.rows(made_up) if row["grade"] == "forecast" and row["dose"] == 4)
    tiny = row | {"shift": [1e-8] * 2, "order": [0.0] * 2, "nats": [0.0] * 2}
    assert scoring.scorecard([tiny])[0]["explained"] is None
    assert scoring.scorecard([tiny | {"shift": [1e-4] * 2}])[0]["explained"] == 1


def own(arrays):
    """A copy of a cell's arrays, to be changed."""
    return {name: array.copy() for name, array in arrays.items()}


def test_a_forecast_past_the_end_of_its_ladder_is_not_told(made_up):
    """Two passes at dose 4: no ladder up to one pass, or lost beyond it, says anything of them."""
    for base in range(2):
        arrays = own(made_up.load(f"theories-arm-{base}"))
        arrays["betas/tempered-posterior/process"] = arrays["betas/tempered-posterior/process"] / (4, 1)[base]
        if base == 1:
            arrays["ladder/tempered-posterior/process"][:, 4:] = np.nan
        made_up.save(f"theories-arm-{base}", arrays)
    told = [row for row in scoring.rows(made_up) if row["theory"] == "tempered-posterior"]
    assert {row["dose"] for row in told if row["grade"] == "forecast"} == {1}
    assert {row["dose"] for row in told if row["grade"] == "fitted"} == {1, 4}


def test_the_seed_floor_compares_networks_of_different_bases(made_up):
    assert card(made_up, theory="unchanged", group="held_out", dose=4)["seed_floor"] == pytest.approx(1)


TIMES = np.array([0.0, 0.2, 0.4, 0.8])
SAMPLED_THEORIES = ("langevin-posterior", "adam-gibbs")


@pytest.fixture
def sampled(made_up):
    """Also with chains, of one finetuning seed, which are exactly right; β = 100 τ at the first base and 50 τ
    at the second; the third rung misses the gate at the first base."""
    for base in range(2):
        told = made_up.load(f"theories-arm-{base}")
        path = told["ladder/geometric-path/network"][:1]
        arrays = {}
        for name in (f"{theory}/T=0.001" for theory in SAMPLED_THEORIES):
            problems = np.array([["", "", "It is too warm." * (base == 0), ""]])
            arrays |= {f"ladder/{name}": path[:, [0, 1, 3, 4]], f"times/{name}": TIMES}
            arrays |= {f"betas/{name}": TIMES * (100, 50)[base], f"problems/{name}": problems}
            metric = "adam" if name.startswith("adam") else "identity"
            arrays[f"clock/{name}"] = np.array(metric)
        dynamics = made_up.load(f"dynamics-sgd-arm-{base}")
        for method, metric, rate in (("sgd", "identity", 0.1), ("adam", "adam", 0.075)):
            clock = {f"time/{metric}": rate * np.array([1.0, 4.0])}
            made_up.save(f"dynamics-{method}-arm-{base}", dynamics | clock)
        made_up.save(f"langevin-arm-{base}", arrays)
        made_up.save(f"adam-arm-{base}", made_up.load(f"sgd-arm-{base}"))
    return made_up


def one_row(results, **wanted):
    rows = scoring.rows(results)
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_trust_is_that_of_the_rungs_next_to_a_strength():
    problems = np.array([["", "", "bad", "", ""], ["bad", "", "", "", "bad"]])
    rungs = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    betas = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 99.0])
    expected = [
        [True, True, True, False, False, False, True, True, True, True],
        [False, False, True, True, True, True, True, False, False, False],
    ]
    for off in (1.0, 1 + 1e-8, 1 - 1e-8):  # a rung is one also after it was rounded
        got = scoring._trusted(problems, rungs, np.stack([betas * off] * 2))
        np.testing.assert_array_equal(got, expected)
    assert scoring._trusted(None, rungs, betas[None]) is None
    lifted = scoring._trusted(problems, rungs + 1, np.array([[0.5], [0.5]]))  # before the first rung
    np.testing.assert_array_equal(lifted, [[True], [False]])


def test_rows_say_which_networks_rest_on_sound_chains(sampled):
    """The fit finds the second rung at the first dose, the third at the last; chains are of one seed."""
    wanted = {"theory": "langevin-posterior", "grade": "fitted", "group": "held_out", "method": "sgd"}
    for base, beta in enumerate((100, 50)):
        first, last = (one_row(sampled, **wanted, base=base, dose=dose) for dose in (1, 4))
        assert first["beta"] == pytest.approx([0.2 * beta]) and last["beta"] == pytest.approx([0.4 * beta])
        assert first["trusted"] == [True]
        assert last["trusted"] == [base == 1]
    assert card(sampled, **wanted, dose=1)["trusted"] == 1.0
    assert card(sampled, **wanted, dose=4)["trusted"] == 0.5
    others = [row["trusted"] for row in scoring.rows(sampled) if row["prior"] != "T=0.001"]
    assert others and set(others) == {None}


def test_only_sampled_networks_are_scored(sampled):
    """Seeds without chains are in neither sum: one for each base, where other theories have two."""
    tuned = own(sampled.load("sgd-arm-0"))
    tuned["finetuned"][1] = log_softmax(RANDOM.normal(size=(2, 7, 3)))  # the seed that was not sampled
    sampled.save("sgd-arm-0", tuned)
    wanted = {"grade": "fitted", "group": "held_out", "method": "sgd", "dose": 4}
    line = card(sampled, theory="langevin-posterior", **wanted)
    assert line["seeds"] == 2
    assert line["explained"] == pytest.approx(1, abs=1e-6)
    other = card(sampled, theory="geometric-path", **wanted)
    assert other["seeds"] == 4
    assert other["explained"] < 0.99
    row = one_row(sampled, theory="langevin-posterior", base=0, **wanted)
    assert {len(row[name]) for name in ("nats", "shift", "order", "seed", "ceiling", "beta", "trusted")} == {
        1
    }
    for name in ("shift", "order", "seed"):
        full = one_row(sampled, theory="unchanged", base=0, **(wanted | {"grade": "forecast"}))
        assert row[name] == full[name][:1]


def test_a_sampled_forecast_is_at_the_time_of_the_recipe(sampled):
    """At the method's training time, SGD's in the identity metric and Adam's in its own; each network has
    its own β(τ), and a theory says nothing of a method that is no flow in its metric."""
    lines = scoring.rows(sampled)
    forecasts = {(row["method"], row["theory"]) for row in lines if row["grade"] == "forecast"}
    wanted = {"grade": "forecast", "group": "held_out"}
    for method, theory, rate in (("sgd", "langevin-posterior", 0.1), ("adam", "adam-gibbs", 0.075)):
        assert [named for named in forecasts if named[0] == method and named[1] in SAMPLED_THEORIES] == [
            (method, theory)
        ]
        for base, per_time in enumerate((100, 50)):
            fine = scoring.finer(TIMES * per_time, np.zeros((1, 4, 1, 2)))[0] / per_time
            for dose in (1, 4):
                row = one_row(sampled, method=method, theory=theory, base=base, dose=dose, **wanted)
                time = row["beta"][0] / per_time
                assert abs(time - rate * dose) < np.abs(fine - rate * dose).min() + 1e-6
                assert time == pytest.approx(rate * dose, rel=0.03)
                assert row["trusted"] == [rate * dose < 0.2 or base == 1]  # the third rung is bad


def test_chains_in_the_making_leave_the_other_theories_alone(sampled):
    before = [row for row in scoring.rows(sampled) if row["prior"] != "T=0.001"]
    for base in range(2):
        (sampled.folder / "cells" / f"langevin-arm-{base}.npz").unlink()
    sampled.fail("langevin-arm-0", "It failed.")
    assert scoring.rows(sampled) == before
    assert {row["prior"] for row in before} == {"network", "process"}


def test_a_table_from_before_there_were_chains_is_read(made_up):
    old = [{key: value for key, value in row.items() if key != "trusted"} for row in scoring.rows(made_up)]
    assert {line["trusted"] for line in scoring.scorecard(old)} == {None}


def test_rows_do_not_depend_on_the_order_of_cells_on_disk(made_up):
    first = scoring.rows(made_up)
    made_up.save("sgd-arm-0", made_up.load("sgd-arm-0"))
    assert scoring.rows(made_up) == first
    assert len(first) == 2 * 2 * 2 * 5  # bases × doses × groups × (theories and grades)
