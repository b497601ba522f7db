"""Networks made of mixtures are found inside the hull, others outside, by as much as is put in."""

import numpy as np
import pytest

from experiments.scoring import convex_hull
from experiments.storage.records import Cell, ScoreLine
from experiments.storage.run_folder import create

DOSES, GROUPS = [1, 4, 16], ["in_domain", "held_out", "held_out"]
MEMBERS = np.log([[[0.7, 0.2, 0.1]] * 3, [[0.1, 0.2, 0.7]] * 3])  # (k, c, a): the second answer never moves
BASE = np.log([[0.4, 0.2, 0.4]] * 3)


def line(method, dose, group):
    return ScoreLine(
        study="scorecard",
        method=method,
        data="topics0",
        dose=dose,
        theory="unchanged",
        prior="network",
        grade="forecast",
        group=group,
        explained=0.0,
        standard_error=None,
        interval=None,
        best_null=None,
        over_null=None,
        over_null_interval=None,
        order_blind=None,
        noise_ceiling=None,
        other_base=None,
        best_in_class=None,
        nats=0.0,
        shift=0.0,
        beta=None,
        converged=None,
        split=None,
        networks=4,
    )


@pytest.fixture
def results(tmp_path, make):
    """Two bases, two seeds; `sgd` stays in the hull, `adam` answers the second word more and more."""
    made = create(
        tmp_path / "run",
        {"study": "scorecard", "preset": "none", "config": {"finetuning": {"doses": DOSES}}},
        {},
    )
    moved = {
        "sgd": [[0.55, 0.2, 0.25], [0.65, 0.2, 0.15], [0.7, 0.2, 0.1]],
        "adam": [[0.4, 0.2, 0.4], [0.3, 0.4, 0.3], [0.2, 0.6, 0.2]],
    }
    for base in range(2):
        made.save(Cell("theories", "topics0", base), make.theories(make.contexts(BASE, GROUPS, MEMBERS)))
        for method, answers in moved.items():
            finetuned = np.log(np.broadcast_to(np.asarray(answers)[None, :, None], (2, 3, 3, 3)))
            made.save(Cell("finetuned", "topics0", base, method), make.finetuned(finetuned))
    return made


@pytest.fixture
def lines():
    return [
        line(method, dose, group) for method in ("sgd", "adam") for dose in DOSES for group in set(GROUPS)
    ]


def test_inside_and_outside_are_told_apart(results, lines):
    distances = convex_hull.hull(results, lines)
    assert [(outside.name, outside.group, outside.dose) for outside in distances] == [
        (name, "held_out", dose) for name in ("SGD, D′ on topic 0", "Adam, D′ on topic 0") for dose in DOSES
    ]
    sgd, adam = distances[:3], distances[3:]
    assert all(outside.outside < 1e-8 and outside.proved == 0 for outside in sgd)
    assert [outside.proved for outside in adam] == [0, 1, 1]
    # even weights, as the answers are symmetric: KL of (0.2, 0.6, 0.2) from (0.4, 0.2, 0.4)
    np.testing.assert_allclose(adam[2].outside, 0.6 * np.log(3) - 0.4 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(adam[2].by_context, adam[2].outside, rtol=1e-6)
    assert adam[2].base < 1e-8
    np.testing.assert_allclose(sgd[2].shift, 0.7 * np.log(0.7 / 0.4) + 0.1 * np.log(0.1 / 0.4), rtol=1e-6)


def test_each_context_may_be_in_the_hull_and_no_mixture_give_all(results, lines, make):
    """Of two contexts one is like the first member, the other like the second."""
    for base in range(2):
        finetuned = np.log(np.broadcast_to(np.exp(MEMBERS[[0, 0, 1], 0]), (2, 3, 3, 3)))
        results.save(Cell("finetuned", "topics0", base, "sgd"), make.finetuned(finetuned))
    first = convex_hull.hull(results, lines)[0]
    assert first.by_context < 1e-8
    assert first.outside > 0.1 and first.proved == 1


def test_the_table_is_words(results, lines):
    header, *rows = convex_hull.table(convex_hull.hull(results, lines))
    assert header == convex_hull.HEADER and all(len(row) == len(header) for row in rows)
    assert rows[3][:4] == ["Adam, D′ on topic 0", "held_out", "1", "0.00000"] and rows[3][5] == "-"
    assert rows[5][header.index("proved")] == "1.000"


def test_no_base_network_is_outside_before_it_is_finetuned(results, lines, make):
    """Base networks that are 0.02 nats outside, and networks that have not moved, or moved no farther out."""
    base = np.log([[[0.3, 0.4, 0.3]] * 3])[0]
    farther = np.log([[[0.2, 0.6, 0.2]] * 3])[0]
    for index in range(2):
        contexts = make.contexts(base, GROUPS, MEMBERS)
        results.save(Cell("theories", "topics0", index), make.theories(contexts))
        still = np.broadcast_to(base, (2, 3, 3, 3))
        for method, answers in (("sgd", still), ("adam", np.broadcast_to(farther, still.shape))):
            results.save(Cell("finetuned", "topics0", index, method), make.finetuned(answers))
    distances = convex_hull.hull(results, lines)
    assert all(outside.base > 0.05 for outside in distances)
    assert [outside.proved for outside in distances] == [0, 0, 0, 1, 1, 1]


def test_what_another_order_moves_is_not_proved(results, lines, make):
    """A replica as far away as the network is from the hull: either may be where the centre is not."""
    moved = np.log([[[0.3, 0.4, 0.3]] * 3])[0]
    tuned = np.broadcast_to(moved, (2, 3, 3, 3))
    for replica, proved in ((tuned, 1), (np.broadcast_to(np.log([0.45, 0.1, 0.45]), tuned.shape), 0)):
        for index in range(2):
            results.save(Cell("finetuned", "topics0", index, "sgd"), make.finetuned(tuned, replica))
        first = convex_hull.hull(results, lines)[0]
        assert first.proved == proved
        noise = 0.5 * np.sum(np.exp(moved[0]) * (moved[0] - replica[0, 0, 0]))
        assert first.resolution == pytest.approx((np.sqrt(first.base) + np.sqrt(noise)) ** 2, abs=2e-6)


def test_without_cells_there_is_nothing(tmp_path, lines):
    assert (
        convex_hull.hull(
            create(tmp_path / "empty", {"study": "scorecard", "preset": "none", "config": {}}, {}), lines
        )
        == []
    )
