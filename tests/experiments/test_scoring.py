"""Scores of made-up answers whose right score is known."""

import numpy as np
import pytest

from experiments import results as disk
from experiments import scoring

RANDOM = np.random.default_rng(0)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def mixture(weights, members, evidence):
    """Mixture answers by an explicit loop, for weights (k,), members (k, c, a), evidence (k, c)."""
    contexts, answers = members.shape[1:]
    out = np.zeros((contexts, answers))
    for c in range(contexts):
        belief = weights * np.exp(evidence[:, c])
        belief /= belief.sum()
        for z in range(len(weights)):
            out[c] += belief[z] * np.exp(members[z, c])
    return np.log(out)


def test_weights_of_a_mixture_are_recovered_from_its_answers():
    members = log_softmax(RANDOM.normal(size=(3, 6, 4)))
    evidence = np.zeros((3, 6))
    truth = np.array([0.2, 0.5, 0.3])
    weights, least = scoring.fit_weights(mixture(truth, members, evidence)[None], members, evidence, 4000)
    np.testing.assert_allclose(weights[0], truth, atol=2e-3)
    assert least[0] < 1e-6


def test_weights_are_recovered_through_contexts_that_speak():
    members = log_softmax(RANDOM.normal(size=(3, 8, 4)))
    evidence = RANDOM.normal(size=(3, 8)) - 3
    truth = np.array([0.6, 0.1, 0.3])
    _, least = scoring.fit_weights(mixture(truth, members, evidence)[None], members, evidence, 4000)
    assert least[0] < 1e-5


def test_no_weights_beat_the_fitted_ones():
    members = log_softmax(RANDOM.normal(size=(3, 5, 4)))
    target = log_softmax(RANDOM.normal(size=(1, 5, 4)))
    _, least = scoring.fit_weights(target, members, np.zeros((3, 5)), 2000)
    grid = RANDOM.dirichlet(np.ones(3), size=3000)
    answers = np.log(np.einsum("gk,kca->gca", grid, np.exp(members)))
    gaps = (np.exp(target) * (target - answers)).sum(axis=-1).mean(axis=-1)
    assert least[0] <= gaps.min() + 1e-6
    assert gaps.min() < least[0] + 0.01


def test_the_fit_finds_the_rung_that_made_the_answers():
    rungs = log_softmax(RANDOM.normal(size=(2, 7, 5, 4)))
    target = np.stack([rungs[0, [1, 4]], rungs[1, [6, 0]]])
    np.testing.assert_array_equal(scoring._fit(target, rungs), [[1, 4], [6, 0]])
    np.testing.assert_allclose(scoring._path_ceiling(target, rungs), 0, atol=1e-12)


def test_finer_ladders_keep_their_rungs_and_stay_normalised():
    betas = np.array([0.0, 0.1, 1.0, 10.0])
    rungs = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    fine, between = scoring._finer(betas, rungs)
    count = (between.shape[1] - 1) // (len(betas) - 1)
    assert between.shape[1] > scoring.FINE
    np.testing.assert_allclose(between[:, ::count], rungs)
    np.testing.assert_allclose(fine[::count], betas, rtol=1e-6)
    np.testing.assert_allclose(np.exp(between).sum(axis=-1), 1)
    assert (np.diff(fine) > 0).all()


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


@pytest.fixture
def made_up(tmp_path):
    """Two bases, two seeds, two doses; the geometric path is exactly right, the order floor is large at the
    first dose."""
    config = {"doses": [1, 4], "n": 8, "batch": 4, "pairs": 2, "sgd_rate": 0.1}
    results = disk.create(tmp_path, {"study": "made-up", "preset": "none", "config": config}, {})
    groups = np.array(["in_domain"] * 3 + ["held_out"] * 4)
    base = log_softmax(RANDOM.normal(size=(7, 3)))
    goal = log_softmax(RANDOM.normal(size=(7, 3)))
    betas = np.array([0.0, 0.01, 0.1, 0.3, 1.0])
    path = log_softmax(base + betas[:, None, None] * (goal - base))
    members = np.stack([base, goal])
    for index in range(2):
        results.save(
            f"theories-arm-{index}",
            {
                "base": base,
                "group": groups,
                "members": members,
                "evidence": np.zeros((2, 7)),
                "ladder/geometric-path/network": np.stack([path, path]),
                "betas/geometric-path/network": betas,
                "ladder/tempered-posterior/process": np.stack([path[:1], path[:1]]).repeat(5, axis=1),
                "betas/tempered-posterior/process": betas,
            },
        )
        tuned = np.stack([np.stack([path[1], path[3]])] * 2)
        twin = tuned.copy()
        twin[:, 0] = log_softmax(RANDOM.normal(size=(2, 7, 3)))
        results.save(f"sgd-arm-{index}", {"finetuned": tuned, "twin": twin, "linearised": tuned * 1.0})
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
    betas = scoring._finer(np.array([0.0, 0.01, 0.1, 0.3, 1.0]), np.zeros((1, 5, 1, 2)))[0]
    assert line["beta"] == pytest.approx(betas[np.abs(betas - passes).argmin()])


def test_the_seed_floor_compares_networks_of_different_bases(made_up):
    assert card(made_up, theory="unchanged", group="held_out", dose=4)["seed_floor"] == pytest.approx(1)


def test_rows_do_not_depend_on_the_order_of_cells_on_disk(made_up):
    first = scoring.rows(made_up)
    made_up.save("sgd-arm-0", made_up.load("sgd-arm-0"))
    assert scoring.rows(made_up) == first
    assert len(first) == 2 * 2 * 2 * 5  # bases × doses × groups × (theories and grades)
