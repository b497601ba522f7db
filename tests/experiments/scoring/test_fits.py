"""Fits and errors of made-up answers whose right result is known."""

import numpy as np
import pytest

from experiments.scoring import fits

RANDOM = np.random.default_rng(0)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_an_answer_that_a_rung_rules_out_is_ruled_out_next_to_it():
    rungs = np.log(np.full((1, 3, 2, 3), 1 / 3))
    rungs[0, 1:, 0] = [-np.inf, np.log(0.5), np.log(0.5)]
    with np.errstate(all="raise", under="ignore"):
        _, between = fits.finer(np.array([0.0, 1.0, 2.0]), rungs)
    assert not np.isnan(between).any()
    np.testing.assert_allclose(np.exp(between[0, 1:, 0]), [[0, 0.5, 0.5]] * (between.shape[1] - 1))
    np.testing.assert_allclose(np.exp(between[0, :, 1]), 1 / 3)


def test_the_fit_finds_the_rung_that_made_the_answers():
    rungs = log_softmax(RANDOM.normal(size=(2, 7, 5, 4)))
    target = np.stack([rungs[0, [1, 4]], rungs[1, [6, 0]]])
    np.testing.assert_array_equal(fits.fit(target, rungs), [[1, 4], [6, 0]])
    np.testing.assert_allclose(fits.least_on_path(target, rungs), 0, atol=1e-12)


def test_finer_ladders_keep_their_rungs_and_stay_normalised():
    betas = np.array([0.0, 0.1, 1.0, 10.0])
    rungs = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    fine, between = fits.finer(betas, rungs)
    count = 67  # of 200 in each of three parts
    assert fine.shape == (3 * count + 1,) and between.shape == (2, 3 * count + 1, 5, 3)
    np.testing.assert_allclose(between[:, ::count], rungs)
    np.testing.assert_allclose(fine[::count], betas, rtol=1e-6)
    part = np.arange(count)[:, None, None] / count
    for index in range(3):
        straight = log_softmax((1 - part) * rungs[:, index, None] + part * rungs[:, index + 1, None])
        np.testing.assert_allclose(between[:, index * count : (index + 1) * count], straight)
    assert len(fits.finer(np.arange(5.0), np.zeros((1, 5, 1, 1)))[0]) == 201
    np.testing.assert_allclose(np.diff(fine[: count + 1]), 0.1 / count)  # evenly from 0 to the first rung
    np.testing.assert_allclose(np.diff(np.log(fine[count:])), np.log(10) / count)


def test_a_rung_next_to_a_missing_one_is_kept():
    betas = np.array([0.0, 0.1, 1.0, 10.0])
    rungs = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    rungs[0, 1] = np.nan
    fine, between = fits.finer(betas, rungs)
    count = (between.shape[1] - 1) // (len(betas) - 1)
    np.testing.assert_allclose(between[:, ::count], rungs)
    missing = np.isnan(between).any(axis=(-1, -2))
    assert not missing[1].any()
    assert (missing[0] == ((fine > 0) & (fine < 1 - 1e-9))).all()  # up to the next rung on both sides
    target = np.stack([rungs[:, 0]] * 2, axis=1)
    np.testing.assert_array_equal(fine[fits.fit(target, between)], 0)
    np.testing.assert_allclose(fits.least_on_path(target, between), 0, atol=1e-12)


def kl(target, answers):
    """Mean KL over contexts, in plain numpy."""
    return np.mean(np.sum(np.exp(target) * (target - answers), axis=-1), axis=-1)


def test_the_least_on_a_path_is_the_least_kl_of_a_rung():
    rungs, target = (
        log_softmax(RANDOM.normal(size=(2, 7, 5, 4))),
        log_softmax(RANDOM.normal(size=(2, 3, 5, 4))),
    )
    wanted = kl(target[:, :, None], rungs[:, None]).min(axis=-1)
    assert wanted.min() > 0.1
    np.testing.assert_allclose(fits.least_on_path(target, rungs), wanted)
    np.testing.assert_array_equal(
        fits.fit(target, rungs), kl(target[:, :, None], rungs[:, None]).argmin(axis=-1)
    )


@pytest.mark.parametrize("informative", [False, True])
def test_the_least_of_mixtures_is_that_of_a_fine_search(make, informative):
    """Of two hypotheses; contexts that are evidence on them move their weights."""
    components, target = (
        log_softmax(RANDOM.normal(size=(2, 5, 4))),
        log_softmax(RANDOM.normal(size=(2, 3, 5, 4))),
    )
    evidence = informative * RANDOM.normal(size=(2, 5))
    contexts = make.contexts(components[0], ["held_out"] * 5, components, evidence)
    share = np.linspace(0, 1, 4001)[:, None] * np.exp(evidence[0])
    share = share / (share + np.linspace(1, 0, 4001)[:, None] * np.exp(evidence[1]))
    mixed = np.log(share[..., None] * np.exp(components[0]) + (1 - share[..., None]) * np.exp(components[1]))
    wanted = np.min(kl(target[:, :, None], mixed), axis=-1)
    assert wanted.min() > 0.01
    np.testing.assert_allclose(fits.least_of_mixtures(target, contexts), wanted, atol=1e-5)


def test_what_one_start_misses_another_finds(make):
    """Of two targets one is found from equal weights alone, one from next to the better hypothesis alone."""
    random = np.random.default_rng(21)
    components, evidence = log_softmax(2 * random.normal(size=(2, 3, 3))), 4 * random.normal(size=(2, 3))
    target = log_softmax(2 * random.normal(size=(50, 3, 3)))[[8, 15]]
    odds = np.linspace(-30, 30, 6001)[:, None] + evidence[0] - evidence[1]
    first, second = (-np.logaddexp(0, sign * odds)[..., None] for sign in (-1, 1))
    wanted = kl(target[:, None], np.logaddexp(first + components[0], second + components[1])).min(axis=-1)
    contexts = make.contexts(components[0], ["held_out"] * 3, components, evidence)
    np.testing.assert_allclose(fits.least_of_mixtures(target[None], contexts)[0], wanted, rtol=1e-4)
    better = kl(target[:, None], components).argmin(axis=-1)
    level, near = (
        fits.fit_weights(target, components, evidence, start=start)[1] - wanted
        for start in (np.full((2, 2), 0.5), np.array([[0.95, 0.05], [0.05, 0.95]])[better])
    )
    assert level[0] < 1e-4 < 0.1 < level[1] and near[1] < 1e-4 < 0.1 < near[0]


def test_the_least_of_mixtures_is_at_most_that_of_a_hypothesis(make):
    """Exactly 0 where one of them made the answers, and the KL itself where there is one alone."""
    components, evidence = log_softmax(RANDOM.normal(size=(3, 5, 4))), RANDOM.normal(size=(3, 5))
    contexts = make.contexts(components[0], ["held_out"] * 5, components, evidence)
    assert (fits.least_of_mixtures(components[None], contexts) == 0).all()
    target = log_softmax(RANDOM.normal(size=(2, 3, 5, 4)))
    alone = make.contexts(components[0], ["held_out"] * 5, components[:1], evidence[:1])
    np.testing.assert_allclose(fits.least_of_mixtures(target, alone), kl(target, components[0]))


@pytest.mark.parametrize(("wanted", "inside"), [(0.0, True), (2.0, True), (2.001, True), (2.01, False)])
def test_a_strength_at_the_end_of_its_ladder_is_on_it(wanted, inside):
    rungs = log_softmax(RANDOM.normal(size=(1, 3, 2, 3)))
    betas, answers = fits.nearest_rungs(np.array([0.0, 1.0, 2.0]), rungs, np.array([[wanted]]))
    assert betas == min(np.round(wanted), 2.0)
    assert np.isfinite(answers).all() == inside


def test_past_what_was_solved_there_is_no_answer():
    """One seed is solved at strength 0 alone, another at two of three; nan is of a law without a strength."""
    rungs = np.zeros((2, 3, 1, 1))
    rungs[0, 1:] = rungs[1, 2] = np.nan
    wanted = np.array([[0.0, 0.9, 2.0, np.nan]] * 2)
    betas, answers = fits.nearest_rungs(np.array([0.0, 1.0, 2.0]), rungs, wanted)
    np.testing.assert_array_equal(betas, [[0, 0, 0, 0], [0, 1, 1, 0]])
    np.testing.assert_array_equal(
        np.isfinite(answers[..., 0, 0]), [[True, False, False, False], [True, True, False, False]]
    )
    off = fits.off_grid(np.array([0.0, 1.0, 2.0, 4.0]), np.array([[0.0, 4.0, 4.003, 4.01, np.nan]]))
    np.testing.assert_array_equal(off, [[False, False, False, True, True]])


def test_chains_have_converged_where_the_rungs_next_to_a_strength_have():
    problems = np.array([["", "", "bad", "", ""], ["bad", "", "", "", "bad"]])
    rungs = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    betas = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 99.0])
    expected = [
        [True, True, True, False, False, False, True, True, True, True],
        [False, False, True, True, True, True, True, False, False, False],
    ]
    for off in (1.0, 1 + 1e-8, 1 - 1e-8):  # a rung is one also after it was rounded
        got = fits.converged_at(problems, rungs, np.stack([betas * off] * 2))
        np.testing.assert_array_equal(got, expected)
    assert fits.converged_at(None, rungs, betas[None]) is None
    np.testing.assert_array_equal(
        fits.converged_at(problems, rungs, betas[None]), expected[:1]
    )  # fewer seeds
    lifted = fits.converged_at(problems, rungs + 1, np.array([[0.5], [0.5]]))  # before the first rung
    np.testing.assert_array_equal(lifted, [[True], [False]])
    last = np.array([["", "bad", "", "", "bad"]])  # the first rung alone counts there
    assert fits.converged_at(last, rungs + 1, np.array([[0.5]])).all()


HYPOTHESES = log_softmax(RANDOM.normal(size=(3, 6, 4)))
EVIDENCE = RANDOM.normal(size=(3, 6))
NETWORK = log_softmax(RANDOM.normal(size=(6, 4)))


def mixed(weights):
    """Answers (c, a) of a mixture that has read the contexts."""
    belief = np.asarray(weights)[:, None] * np.exp(EVIDENCE)
    return np.log(np.einsum("kc,kca->ca", belief / belief.sum(axis=0), np.exp(HYPOTHESES)))


def anchored(weights, reference):
    return log_softmax(NETWORK + mixed(weights) - reference)


@pytest.fixture
def in_context(make):
    made = make.contexts(NETWORK, ["held_out"] * 6, HYPOTHESES, EVIDENCE)
    return made


def test_an_anchored_mixture_is_a_mixture_of_anchored_hypotheses(in_context):
    reference = mixed([0.5, 0.3, 0.2])
    components, evidence = fits.anchored_hypotheses(in_context, reference)
    for weights in ([1 / 3] * 3, [0.8, 0.05, 0.15], [0.0, 1.0, 0.0]):
        belief = np.asarray(weights)[:, None] * np.exp(evidence)
        got = np.einsum("kc,kca->ca", belief / belief.sum(axis=0), np.exp(components))
        np.testing.assert_allclose(got, np.exp(anchored(weights, reference)), rtol=1e-10)


def test_an_answer_that_the_prior_rules_out_stays_at_the_base_network(make):
    """So in the class as in the ladders, whatever the weights."""
    components = HYPOTHESES.copy()
    components[:, 0, 2] = -np.inf
    contexts = make.contexts(NETWORK, ["held_out"] * 6, log_softmax(components), EVIDENCE)
    with np.errstate(divide="ignore"):
        reference = np.log(np.exp(contexts.components).mean(axis=0))
    anchored, evidence = fits.anchored_hypotheses(contexts, reference)
    assert np.isfinite(anchored).all() and np.isfinite(evidence).all()
    unnormalised = anchored[:, 0] + (evidence - contexts.evidence)[:, 0, None]
    np.testing.assert_allclose(unnormalised[:, 2], NETWORK[0, 2])


def test_the_best_anchored_mixture_is_found(in_context):
    """Exactly where a mixture made the answers; never worse than any single hypothesis; nearer than the
    mixtures that are not anchored, which miss what the base network got wrong."""
    reference = mixed([0.5, 0.3, 0.2])
    weights = [[0.2, 0.7, 0.1], [0.98, 0.01, 0.01], [0.0, 0.0, 1.0]]
    target = np.stack([anchored(w, reference) for w in weights])[None]
    np.testing.assert_allclose(fits.least_of_mixtures(target, in_context, reference), 0, atol=1e-8)
    assert (fits.least_of_mixtures(target, in_context) > 1e-3).all()
    other = log_softmax(NETWORK + RANDOM.normal(size=(2, 3, 6, 4)))
    least = fits.least_of_mixtures(other, in_context, reference)
    for single in np.eye(3):
        assert (least <= fits.mean_kl(other, anchored(single, reference)) + 1e-12).all()


def test_the_divergence_from_a_theory_that_rules_out_an_answer_is_infinite():
    target = np.log([[0.5, 0.5, 1e-300], [1.0, 1e-300, 1e-300]])
    target[:, 2] = target[1, 1] = -np.inf
    theory = np.log([[1.0, 1e-300, 1e-300], [1.0, 1e-300, 1e-300]])
    theory[:, 1:] = -np.inf
    np.testing.assert_array_equal(fits.divergence(target, theory), [np.inf, 0.0])
    assert np.isnan(fits.divergence(target, np.full((2, 3), np.nan))).all()


def test_no_kl_is_negative_by_rounding():
    """Answers that add up to a little more than 1."""
    target = log_softmax(RANDOM.normal(size=(2, 4, 5, 3)))
    more = target + 1e-9
    assert kl(target, more).max() < 0
    for measure in (fits.mean_kl, fits.kl, fits.least_on_path):
        assert (measure(target, more) == 0).all()
