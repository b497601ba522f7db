"""Weights of the nearest mixture: recovered where there are some, and not beaten by any on a grid."""

import numpy as np
import pytest

from theory.nearest_mixture import fit_weights

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
    weights, least = fit_weights(mixture(truth, members, evidence)[None], members, evidence)
    np.testing.assert_allclose(weights[0], truth, atol=1e-6)
    assert least[0] < 1e-12


def test_weights_are_recovered_through_contexts_that_speak():
    members = log_softmax(RANDOM.normal(size=(3, 8, 4)))
    evidence = RANDOM.normal(size=(3, 8)) - 3
    truth = np.array([0.6, 0.1, 0.3])
    weights, least = fit_weights(mixture(truth, members, evidence)[None], members, evidence)
    np.testing.assert_allclose(weights[0], truth, atol=1e-6)
    assert least[0] < 1e-12


def test_members_that_no_context_allows_keep_their_weight_and_hide_nothing():
    members = log_softmax(RANDOM.normal(size=(4, 6, 4)))
    evidence = np.zeros((4, 6))
    evidence[3] = -np.inf
    truth = np.array([0.2, 0.5, 0.3, 0.0])
    weights, least = fit_weights(mixture(truth, members, evidence)[None], members, evidence)
    np.testing.assert_allclose(weights[0, :3] / weights[0, :3].sum(), truth[:3], atol=1e-6)
    assert weights[0, 3] == pytest.approx(0.25) and least[0] < 1e-12


def test_answers_that_no_member_gives_are_left_out_of_the_fit_and_cost_everything():
    likely = np.exp(log_softmax(RANDOM.normal(size=(2, 6, 4))))
    likely[:, :, 0] = 0  # given by nobody
    likely[0, :, 1] = 0  # by the second alone
    likely /= likely.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        members = np.log(likely)
        truth = mixture(np.array([0.3, 0.7]), members, np.zeros((2, 6)))
    said = np.logaddexp(truth, np.log(1e-3))  # and a little of what nobody gives
    with np.errstate(all="raise", under="ignore"):
        weights, least = fit_weights(np.stack([truth, said]), members, np.zeros((2, 6)))
    np.testing.assert_allclose(weights, [[0.3, 0.7], [0.3, 0.7]], atol=1e-3)
    assert least[0] < 1e-6 and least[1] == np.inf


@pytest.mark.parametrize("spoken", [0.0, 2.0])
def test_no_weights_beat_the_fitted_ones(spoken):
    """Ten targets outside the class, contexts that say nothing or much, against a grid of weights."""
    members, evidence = log_softmax(RANDOM.normal(size=(3, 5, 4))), spoken * RANDOM.normal(size=(3, 5))
    target = log_softmax(RANDOM.normal(size=(10, 5, 4)))
    weights, least = fit_weights(target, members, evidence)
    grid = RANDOM.dirichlet(np.full(3, 0.5), size=3000)
    tried = np.array([mixture(each, members, evidence) for each in (*grid, *weights)])
    gaps = np.sum(np.exp(target)[:, None] * (target[:, None] - tried), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(np.diagonal(gaps[:, 3000:]), least, rtol=1e-9)
    assert (least <= gaps[:, :3000].min(axis=1) + 1e-9).all()
    assert (gaps[:, :3000].min(axis=1) < least + 0.01).all()


def test_a_member_and_its_copy_share_what_one_of_them_would_have():
    one = log_softmax(RANDOM.normal(size=(3, 6, 4)))
    target = log_softmax(RANDOM.normal(size=(4, 6, 4)))
    evidence = RANDOM.normal(size=(3, 6))
    weights, least = fit_weights(target, one, evidence)
    twice, same = fit_weights(target, one[[0, 1, 2, 2]], evidence[[0, 1, 2, 2]])
    np.testing.assert_allclose(same, least, rtol=1e-5)
    np.testing.assert_allclose(twice[:, 2] + twice[:, 3], weights[:, 2], atol=1e-3)
