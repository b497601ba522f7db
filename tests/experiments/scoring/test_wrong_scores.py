"""Scores against plain numpy, in a world where every shortcut gives another number.

Two base networks, two finetuning seeds and two doses that all differ. Finetuned networks stand at one rung of
a path in the in-domain contexts, at another in each other group: a β that is fitted on other contexts, a best
in class over all contexts, a network that is its own rival, all show.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.scoring.scorecard import FITTED_ON, scorecard
from experiments.storage.contents import ReplayCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run_folder import create

GROUPS = {FITTED_ON: 3, "held_out": 4, "conflict": 2}
RUNGS = {FITTED_ON: (1, 2), "held_out": (4, 3), "conflict": (3, 5)}  # at each dose
BETAS = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
DOSES, SEEDS, BASES = (1, 4), 2, 3


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def kl(target, answers):
    """Mean KL over contexts (c, a), in nats."""
    return float(np.mean(np.sum(np.exp(target) * (target - answers), axis=-1)))


@pytest.fixture(scope="module")
def world(tmp_path_factory, make):
    """The run, and its arrays by base network."""
    random = np.random.default_rng(3)
    config = {"finetuning": {"doses": list(DOSES), "n": 8, "batch": 4}}
    run = create(tmp_path_factory.mktemp("run"), {"study": "s", "preset": "none", "config": config}, {})
    group = np.repeat(list(GROUPS), list(GROUPS.values()))
    rung = np.array([[RUNGS[name][dose] for name in group] for dose in range(len(DOSES))])
    arrays = {}
    for base in range(BASES):
        start, goals = (log_softmax(random.normal(size=(*n, len(group), 3))) for n in ((), (SEEDS,)))
        paths = log_softmax(start + BETAS[:, None, None] * (goals[:, None] - start))  # (s, b, c, a)
        tuned = np.stack([[path[r, np.arange(len(group))] for r in rung] for path in paths])
        replica = log_softmax(tuned + 0.05 * random.normal(size=tuned.shape))
        components = log_softmax(random.normal(size=(2, len(group), 3)))
        exact = np.concatenate([np.broadcast_to(start, (SEEDS, 1, *start.shape)), tuned], axis=1)
        ladders = [
            Ladder("geometric-path", "network", BETAS, paths),
            Ladder("tempered-posterior", "process", BETAS[:3], exact, "mixture"),
        ]
        known = make.contexts(start, group, components, random.normal(size=(2, len(group))))
        run.save(Cell("theories", "arm", base), make.theories(known, ladders))
        run.save(Cell("finetuned", "arm", base, "sgd"), make.finetuned(tuned, replica))
        linear = log_softmax(tuned + 0.3 * random.normal(size=tuned.shape))
        run.save(Cell("replays", "arm", base, "sgd"), ReplayCell({"linearised": linear}, {}))
        arrays[base] = SimpleNamespace(start=start, tuned=tuned, replica=replica, linear=linear, paths=paths)
    return SimpleNamespace(run=run, rows=scoring.rows(run), arrays=arrays, group=group)


def expected(world, row, answers):
    """Mean KL of the row's networks from answers (s, d, c, a) in its group, a number for each seed."""
    inside, dose = world.group == row.group, DOSES.index(row.dose)
    tuned = world.arrays[row.base].tuned
    return [kl(tuned[s, dose][inside], answers[s, dose][inside]) for s in range(SEEDS)]


def select(world, theory, **wanted):
    found = [row for row in world.rows if row.theory == theory]
    found = [row for row in found if all(getattr(row, name) == value for name, value in wanted.items())]
    assert found
    return found


def test_nats_shift_and_noise_are_means_of_kl(world):
    for row in select(world, "linearised"):
        arrays = world.arrays[row.base]
        start = np.broadcast_to(arrays.start, arrays.tuned.shape)
        assert row.nats == pytest.approx(expected(world, row, arrays.linear), rel=1e-5)
        assert row.shift == pytest.approx(expected(world, row, start), rel=1e-5)
        assert row.replica == pytest.approx(expected(world, row, arrays.replica), rel=1e-5)


def test_no_kl_is_negative(world):
    assert min(min(getattr(row, name)) for row in world.rows for name in ("nats", "replica", "shift")) >= 0


def test_a_shift_as_large_as_its_noise_is_undefined(world):
    row = select(world, "linearised", group="held_out", dose=1)[0]
    (line,) = scorecard([replace(row, replica=row.shift)])
    assert line.explained is line.noise_ceiling is line.order_blind is line.other_base is None
    almost, without = (
        scorecard([replace(row, replica=replica)])[0] for replica in (tuple(0.99 * np.array(row.shift)), None)
    )
    assert almost.explained == without.explained == pytest.approx(1 - np.sum(row.nats) / np.sum(row.shift))
    assert almost.order_blind == pytest.approx(1 - 0.99 / 2) and without.order_blind is without.noise is None


def test_the_other_base_is_the_next_one_and_never_the_network_itself(world):
    for row in select(world, "unchanged"):
        other = world.arrays[(row.base + 1) % BASES].tuned
        assert row.other_base == pytest.approx(expected(world, row, other), rel=1e-5)
        assert min(row.other_base) > 1e-3


def test_the_strength_is_that_of_the_in_domain_contexts_alone(world):
    for row in select(world, "geometric-path", grade="fitted"):
        wanted = RUNGS[FITTED_ON][DOSES.index(row.dose)]
        assert row.beta == pytest.approx([BETAS[wanted]] * SEEDS, rel=1e-6)
        paths = world.arrays[row.base].paths
        answers = np.broadcast_to(paths[:, wanted, None], (SEEDS, len(DOSES), *paths.shape[2:]))
        assert row.nats == pytest.approx(expected(world, row, answers), rel=1e-4, abs=1e-9)
        assert (max(row.nats) < 1e-9) == (row.group == FITTED_ON)


def test_the_best_of_a_path_is_the_best_in_the_group_it_is_scored_on(world):
    """Which the path hits in every group by itself, and at no strength in all of them."""
    for row in select(world, "geometric-path", grade="fitted"):
        assert row.best_in_class == pytest.approx([0.0] * SEEDS, abs=1e-7)


def test_a_theory_of_mixtures_is_never_better_than_the_best_in_its_class(world):
    """Its answers are right, and outside what free weights over the hypotheses can reach."""
    for row in select(world, "tempered-posterior", grade="fitted"):
        assert row.nats == pytest.approx([0.0] * SEEDS, abs=1e-7)
        assert row.best_in_class == pytest.approx([0.0] * SEEDS, abs=1e-7)


def test_scores_are_ratios_of_sums(world):
    for line in scorecard(world.rows):
        rows = select(world, line.theory, dose=line.dose, group=line.group, grade=line.grade)
        nats, shift, replica, other = (
            np.sum([getattr(row, name) for row in rows])
            for name in ("nats", "shift", "replica", "other_base")
        )
        assert line.networks == BASES * SEEDS and line.nats == pytest.approx(nats / line.networks)
        assert line.shift == pytest.approx(shift / line.networks)
        assert line.noise_ceiling == pytest.approx(1 - replica / shift)
        assert line.other_base == pytest.approx(1 - other / shift)
        if (line.grade, line.group) == ("fitted", FITTED_ON):
            assert line.explained is line.best_in_class is None
        else:
            best = np.sum([row.best_in_class for row in rows])
            assert line.explained == pytest.approx(1 - nats / shift)
            assert line.best_in_class == pytest.approx(1 - best / shift)
            assert line.best_in_class >= line.explained - 1e-9
