"""Nearest points of hulls in closed form and against all other weights, and what the certificate promises."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from theory.divergence.convex_hull import nearest
from theory.errors import Misuse
from theory.processes.persona_topics import PersonaTopics
from theory.theories.narrow_or_broad import NarrowOrBroad

RANDOM = np.random.default_rng(7)
MEMBERS = RANDOM.dirichlet(np.ones(4), size=(5, 3))
TARGETS = RANDOM.dirichlet(np.ones(4), size=(6, 3))
SIMPLEX = np.concatenate([RANDOM.dirichlet(np.full(5, size), size=4000) for size in (0.2, 1.0, 5.0)])


def kl(left, right):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, left * np.log(left / right), 0.0).sum(axis=-1)


def coins(*heads):
    """Log-probabilities (contexts, 2) of coins."""
    p = np.array(heads)
    return np.log(np.stack([1 - p, p], axis=-1))


def at(weights, components=MEMBERS):
    return np.einsum("mk,kca->mca", weights, components)


def test_between_two_coins_is_inside_and_beyond_them_the_nearer_one():
    components = np.stack([coins(0.2), coins(0.6)])
    hull = nearest(np.stack([coins(heads) for heads in (0.1, 0.3, 0.9)]), components)
    near = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    targets = np.array([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9]])
    np.testing.assert_allclose(hull.nats, kl(targets, near), atol=1e-10)
    np.testing.assert_allclose(hull.weights, [[1, 0], [0.75, 0.25], [0, 1]], atol=1e-5)
    assert (hull.at_least > 0.01).tolist() == [True, False, True]


def test_shared_weights_compromise_where_free_ones_need_not():
    components = np.stack([coins(0.8, 0.8), coins(0.2, 0.2)])
    target = coins(0.8, 0.2)[None]
    shared, free = nearest(target, components), nearest(target, components, shared=False)
    # by symmetry the coins are fair
    np.testing.assert_allclose(shared.nats, [0.8 * np.log(1.6) + 0.2 * np.log(0.4)], rtol=1e-9)
    np.testing.assert_allclose(shared.weights, [[0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(free.nats, [[0, 0]], atol=1e-10)
    # on the edge a weight of √gap costs no more than the gap
    np.testing.assert_allclose(free.weights, [[[1, 0], [0, 1]]], atol=1e-5)
    assert shared.at_least[0] > 0.19


def test_no_other_weights_come_nearer():
    hull = nearest(np.log(TARGETS), np.log(MEMBERS))
    assert 1e-11 < hull.gap.max() < 6e-11  # five members times the finest
    assert nearest(np.log(TARGETS), np.log(MEMBERS), iterations=12).gap.max() < 1e-9
    np.testing.assert_allclose(hull.weights.sum(axis=-1), 1, rtol=1e-12)
    assert hull.weights.min() >= 0
    np.testing.assert_allclose(hull.nats, kl(TARGETS, at(hull.weights)).mean(axis=-1), rtol=1e-9)
    around = [SIMPLEX, 0.99 * hull.weights[:, None] + 0.01 * SIMPLEX, np.eye(5)]
    for weights in around:
        weights = np.broadcast_to(weights, (6, *weights.shape[-2:]))
        others = np.stack([kl(t, at(w)).mean(axis=-1) for t, w in zip(TARGETS, weights, strict=True)])
        assert (others >= hull.at_least[:, None]).all()
    assert hull.at_least.min() > 0.01  # all of them are outside


def test_weights_inside_are_found():
    weights = RANDOM.dirichlet(np.ones(5), size=6)
    hull = nearest(np.log(at(weights)), np.log(MEMBERS))
    np.testing.assert_allclose(hull.weights, weights, atol=1e-5)
    np.testing.assert_allclose(hull.nats, 0, atol=1e-9)
    np.testing.assert_array_equal(hull.at_least, 0)
    assert min(hull.nats.min(), hull.gap.min()) >= 0  # by rounding, either would be below


@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_the_certificate_holds_before_the_optimum_is_found(iterations, shared):
    early, late = (
        nearest(np.log(TARGETS), np.log(MEMBERS), shared=shared, iterations=count)
        for count in (iterations, 40)
    )
    assert (early.at_least <= late.nats).all()
    assert (late.at_least <= early.nats).all()
    assert early.gap.max() > 1e-4  # not there yet
    if iterations == 0:
        np.testing.assert_allclose(early.weights, 0.2)


@pytest.mark.parametrize("shared", [True, False])
def test_a_target_is_found_alike_alone_and_among_others(shared):
    together = nearest(np.log(TARGETS), np.log(MEMBERS), shared=shared, iterations=3)
    for index, target in enumerate(np.log(TARGETS)):
        alone = nearest(target[None], np.log(MEMBERS), shared=shared, iterations=3)
        np.testing.assert_allclose(alone.weights[0], together.weights[index], rtol=1e-12)
        np.testing.assert_allclose(alone.gap[0], together.gap[index], rtol=1e-10)


def test_the_gap_is_the_logarithm_of_the_greatest_slope():
    hull = nearest(np.log(TARGETS), np.log(MEMBERS), iterations=0)
    ratio = TARGETS / MEMBERS.mean(axis=0)
    slope = np.einsum("mca,kca->mk", ratio, MEMBERS) / 3
    np.testing.assert_allclose(hull.gap, np.log(slope.max(axis=-1)), rtol=1e-10)


def test_free_weights_are_those_of_each_context_alone():
    free, early = (
        nearest(np.log(TARGETS), np.log(MEMBERS), shared=False, iterations=count) for count in (30, 3)
    )
    assert free.weights.shape == (6, 3, 5) and free.nats.shape == free.gap.shape == (6, 3)
    for context in range(3):
        only = np.log(TARGETS[:, [context]]), np.log(MEMBERS[:, [context]])
        np.testing.assert_allclose(free.nats[:, context], nearest(*only).nats, atol=1e-9)
        # on the way there, too
        np.testing.assert_allclose(
            early.weights[:, context], nearest(*only, iterations=3).weights, rtol=1e-10
        )
    shared = nearest(np.log(TARGETS), np.log(MEMBERS))
    assert (free.nats.mean(axis=-1) < shared.nats).all()


def test_copies_of_a_member_change_nothing():
    twice = np.concatenate([MEMBERS, MEMBERS[:2]])
    hull, again = (nearest(np.log(TARGETS), np.log(components)) for components in (MEMBERS, twice))
    np.testing.assert_allclose(again.nats, hull.nats, atol=1e-9)
    assert again.gap.max() < 1e-9


def test_impossible_answers():
    with np.errstate(divide="ignore"):
        components = np.log(np.array([[[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]]]))
        target = np.log(np.array([[[0.8, 0.2, 0.0]], [[0.6, 0.2, 0.2]], [[0.0, 0.0, 1.0]]]))
    for shared in (True, False):
        hull = nearest(target, components, shared=shared)
        np.testing.assert_allclose(hull.nats.ravel(), [0, np.inf, np.inf], atol=1e-10)
        np.testing.assert_allclose(hull.at_least.ravel(), [0, np.inf, np.inf], atol=1e-10)
        assert (hull.gap.ravel()[1:] == 0).all()
        np.testing.assert_allclose(hull.weights.reshape(3, 2)[0], [0.4, 0.6], atol=1e-6)


def test_a_mixture_is_inside_and_a_narrow_reach_only_where_weights_are_free():
    """First answers to every topic, by personas and by theories: single precision, as on disk."""
    process = PersonaTopics()
    narrow = process.narrow(jax.random.key(0), 16, 4, [0, 1])
    tokens = np.zeros((7, 12), np.int32)
    tokens[:, 0] = np.arange(7)
    mixture = process.distribution()
    components = np.asarray(mixture.component_log_probs(tokens))[:, :, 1, process.answer_tokens]
    hull = [
        np.asarray(NarrowOrBroad(broad).predict(mixture, narrow, 0.1).predict(tokens))
        for broad in (1.0, 0.5, 0.0)
    ]
    answers = np.stack(hull)[:, :, 1, process.answer_tokens]
    shared, free = (nearest(answers, components, shared=shared) for shared in (True, False))
    assert shared.gap.max() < 1e-9 and free.gap.max() < 1e-9
    assert shared.nats[0] < 1e-9
    assert (shared.at_least[1:] > 1e-3).all()
    np.testing.assert_allclose(free.nats, 0, atol=1e-9)
    moved = np.exp(mixture.condition(narrow, 0.1).log_weights)
    np.testing.assert_allclose(shared.weights[0], moved, atol=1e-4)


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(Misuse, match=r"\(5, 2, 4\)"):
        nearest(np.log(TARGETS), np.log(MEMBERS[:, :2]))


def test_it_needs_no_jax():
    code = "import sys, theory.divergence.convex_hull; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
