"""Fits and errors of made-up answers whose right result is known."""

import numpy as np

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
    count = (between.shape[1] - 1) // (len(betas) - 1)
    assert between.shape[1] > fits.FINE
    np.testing.assert_allclose(between[:, ::count], rungs)
    np.testing.assert_allclose(fine[::count], betas, rtol=1e-6)
    np.testing.assert_allclose(np.exp(between).sum(axis=-1), 1)
    assert (np.diff(fine) > 0).all()
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
