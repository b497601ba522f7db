"""Weights of the nearest mixture: recovered where there are some, and not beaten by any on a grid."""

import numpy as np
import pytest

from theory.divergence.mixture_fit import fit_weights


@pytest.fixture
def random():
    """The same numbers for a test whatever runs before it."""
    return np.random.default_rng(0)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def mixture(weights, components, evidence):
    """Mixture answers by an explicit loop, for weights (k,), members (k, c, a), evidence (k, c)."""
    contexts, answers = components.shape[1:]
    out = np.zeros((contexts, answers))
    for c in range(contexts):
        belief = weights * np.exp(evidence[:, c])
        belief /= belief.sum()
        for z in range(len(weights)):
            out[c] += belief[z] * np.exp(components[z, c])
    return np.log(out)


@pytest.mark.parametrize("spoken", [0.0, 1.0])
def test_weights_of_a_mixture_are_recovered_from_its_answers_in_few_steps(spoken, random):
    """Also where contexts are evidence. The curvature is that of the KL: after five steps little is left."""
    components, evidence = (
        log_softmax(random.normal(size=(3, 8, 4))),
        spoken * (random.normal(size=(3, 8)) - 3),
    )
    truth = np.array([0.6, 0.1, 0.3])
    target = mixture(truth, components, evidence)[None]
    weights, least = fit_weights(target, components, evidence, iterations=5)
    np.testing.assert_allclose(weights[0], truth, atol=1e-6)
    assert 0 <= least[0] < 1e-12
    assert 1e-6 < fit_weights(target, components, evidence, iterations=2)[1][0] < 1e-2


def test_single_precision_is_fitted_in_double(random):
    components, target = (log_softmax(random.normal(size=(3, 6, 4))).astype(np.float32) for _ in range(2))
    evidence = random.integers(-3, 0, (3, 6)).astype(np.float32)
    for part, other in zip(
        fit_weights(target, components, evidence),
        fit_weights(*(part.astype(float) for part in (target, components, evidence))),
        strict=True,
    ):
        np.testing.assert_array_equal(part, other)


def test_without_a_step_weights_are_those_of_the_start(random):
    components, evidence = log_softmax(random.normal(size=(3, 6, 4))), random.normal(size=(3, 6))
    target, start = log_softmax(random.normal(size=(2, 6, 4))), np.array([[2.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    with np.errstate(all="raise", under="ignore"):
        weights, nats = fit_weights(target, components, evidence, 0, start)
    share = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(weights, share, atol=1e-15)
    answers = [mixture(each, components, evidence) for each in share]
    np.testing.assert_allclose(nats, np.sum(np.exp(target) * (target - answers), axis=-1).mean(axis=-1))
    np.testing.assert_allclose(fit_weights(target, components, evidence, 0)[0], 1 / 3)


def test_members_that_no_context_allows_keep_their_weight_and_hide_nothing(random):
    components = log_softmax(random.normal(size=(4, 6, 4)))
    evidence = np.zeros((4, 6))
    evidence[3] = -np.inf
    truth = np.array([0.2, 0.5, 0.3, 0.0])
    weights, least = fit_weights(mixture(truth, components, evidence)[None], components, evidence)
    np.testing.assert_allclose(weights, [[0.15, 0.375, 0.225, 0.25]], atol=1e-6)
    assert least[0] < 1e-12


def test_a_member_gives_no_answer_where_it_is_impossible():
    """The first context rules out the second coin, which alone would give the answer there."""
    with np.errstate(divide="ignore"):
        components = np.log([[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.2, 0.8]]])
    evidence = np.array([[0.0, 0.0], [-np.inf, 0.0]])
    target = np.log([[[0.5, 0.5], [0.2, 0.8]]])
    with np.errstate(all="raise", under="ignore"):
        weights, least = fit_weights(target, components, evidence)
    assert least[0] == np.inf and weights[0, 1] > 0.999


def test_answers_that_no_member_gives_are_left_out_of_the_fit_and_cost_everything(random):
    likely = np.exp(log_softmax(random.normal(size=(2, 6, 4))))
    likely[:, :, 0] = 0  # given by nobody
    likely[0, :, 1] = 0  # by the second alone
    likely /= likely.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        components = np.log(likely)
        truth = mixture(np.array([0.3, 0.7]), components, np.zeros((2, 6)))
    said = np.logaddexp(truth, np.log(1e-5))  # and a little of what nobody gives
    with np.errstate(all="raise", under="ignore"):
        weights, least = fit_weights(np.stack([truth, said]), components, np.zeros((2, 6)))
    np.testing.assert_allclose(weights, [[0.3, 0.7], [0.3, 0.7]], atol=1e-3)
    assert 0 <= least[0] < 1e-6 and least[1] == np.inf


@pytest.mark.parametrize("spoken", [0.0, 2.0])
def test_no_weights_beat_the_fitted_ones(spoken, random):
    """Targets outside the class: anywhere if contexts say nothing, nearby if they do (a local minimum)."""
    components, evidence = log_softmax(random.normal(size=(3, 5, 4))), spoken * random.normal(size=(3, 5))
    target = log_softmax(random.normal(size=(10, 5, 4)))
    weights, least = fit_weights(target, components, evidence)

    def nats(tried):
        answers = np.array([mixture(each, components, evidence) for each in tried])
        return np.sum(np.exp(target)[:, None] * (target[:, None] - answers), axis=-1).mean(axis=-1)

    np.testing.assert_allclose(np.diagonal(nats(weights)), least, rtol=1e-9)
    grid = random.dirichlet(np.full(3, 0.5), size=3000)
    if not spoken:
        assert (least <= nats(grid).min(axis=1) + 1e-9).all()
        assert (nats(grid).min(axis=1) < least + 0.01).all()
    for place, own in enumerate(weights):
        near = 0.98 * own + 0.02 * grid[:200]
        assert least[place] <= nats(near)[place].min() + 1e-9


def test_a_member_and_its_copy_share_what_one_of_them_would_have(random):
    one = log_softmax(random.normal(size=(3, 6, 4)))
    target = log_softmax(random.normal(size=(4, 6, 4)))
    evidence = random.normal(size=(3, 6))
    weights, least = fit_weights(target, one, evidence)
    twice, same = fit_weights(target, one[[0, 1, 2, 2]], evidence[[0, 1, 2, 2]])
    np.testing.assert_allclose(same, least, rtol=1e-5)
    np.testing.assert_allclose(twice[:, 2] + twice[:, 3], weights[:, 2], atol=1e-3)


def test_a_target_is_fitted_alike_alone_and_among_others(random):
    """Each is finished by itself; the others go on, and are not disturbed."""
    components, evidence = log_softmax(random.normal(size=(3, 5, 4))), random.normal(size=(3, 5))
    inside = mixture(np.array([0.3, 0.3, 0.4]), components, evidence)
    targets = np.stack([inside, *log_softmax(random.normal(size=(4, 5, 4)))])
    together = fit_weights(targets, components, evidence)
    for place, target in enumerate(targets):
        weights, nats = fit_weights(target[None], components, evidence)
        np.testing.assert_allclose(together[0][place], weights[0], atol=1e-9)
        np.testing.assert_allclose(together[1][place], nats[0], atol=1e-12)


def test_few_steps_are_as_good_as_many(random, monkeypatch):
    """A target is finished early where further steps would gain nothing."""
    components, evidence = log_softmax(random.normal(size=(4, 9, 4))), random.normal(size=(4, 9))
    target = log_softmax(random.normal(size=(30, 9, 4)))
    solved, solve = [], np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda *parts: solved.append(len(parts[0])) or solve(*parts))
    _, nats = fit_weights(target, components, evidence)
    few = sum(solved)
    fit_weights(mixture(np.full(4, 0.25), components, evidence)[None], components, evidence)
    assert sum(solved) == few + 1  # the start is exact
    monkeypatch.setattr("theory.divergence.mixture_fit.EXACT", 0.0)
    _, least = fit_weights(target, components, evidence)
    assert few < (sum(solved) - few) / 2
    np.testing.assert_allclose(nats, least, rtol=1e-7)
