"""Samples that follow the predictions pass, and wrong samplers are found, whatever is wrong with them."""

import numpy as np
import pytest

from theory.divergence.calibration import DOCUMENTS, calibration

LENGTH = 6
WEIGHTS, HEADS = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.8])


def toss(seed, weights=WEIGHTS, heads=HEADS, n=DOCUMENTS):
    """Documents of one hidden coin each."""
    rng = np.random.default_rng(seed)
    coin = rng.choice(len(weights), n, p=weights)
    return (rng.random((n, LENGTH)) < heads[coin, None]).astype(int)


def predict(tokens):
    """Exact log-probabilities of the next toss."""
    each = np.where(tokens[..., None] == 1, HEADS, 1 - HEADS)
    before = np.concatenate([np.ones_like(each[:, :1]), np.cumprod(each, axis=1)[:, :-1]], axis=1)
    posterior = WEIGHTS * before / (WEIGHTS * before).sum(axis=-1, keepdims=True)
    heads = posterior @ HEADS
    return np.log(np.stack([1 - heads, heads], axis=-1))


def excess(tokens):
    return calibration(tokens, predict(tokens)).excess


def test_samples_of_the_process_stay_below_the_bound():
    """The bound is loose by design: at a level of 1/2 the process still passes, far more often than not."""
    assert max(excess(toss(seed)) for seed in range(20)) < 0.8
    passed = [calibration(token := toss(seed), predict(token), level=0.5).excess <= 1 for seed in range(40)]
    assert np.mean(passed) > 0.9


def test_the_bound_is_near_what_chance_does():
    """A sum of n fair tosses: bound² / variance is 2 L, up to the part that does not grow with n."""
    tokens, n = np.zeros((1_000_000, 1), int), 1_000_000
    tokens[: n // 2 + 5000] = 1  # ten standard deviations
    found = calibration(tokens, np.full((n, 1, 2), np.log(0.5)), level=1e-6)
    limit = np.log(4 * 2 * 2 / 1e-6)
    assert found.excess == pytest.approx(10 / np.sqrt(2 * limit), rel=0.03)


def test_the_bound_of_one_toss_is_that_of_the_formula():
    found = calibration(np.array([[1]]), np.full((1, 1, 2), np.log(0.5)), level=1e-6)
    limit = np.log(4 * 2 * 2 / 1e-6)
    assert found.excess == pytest.approx(0.5 / (limit / 3 + np.sqrt(limit**2 / 9 + 2 * limit * 0.25)))
    assert not found.weighted


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: toss(0, weights=np.array([0.4, 0.35, 0.25])),
        lambda: toss(0, heads=np.array([0.2, 0.5, 0.7])),
        lambda: 1 - toss(0),
        # right at each position, and independent of what stands before
        lambda: np.random.default_rng(1).permuted(toss(0), axis=0),
        # a coin that is drawn anew in the middle
        lambda: np.concatenate([toss(0)[:, :3], toss(1)[:, 3:]], axis=1),
        lambda: np.where(np.arange(LENGTH) == 4, np.minimum(toss(0), toss(1)), toss(0)),
    ],
)
def test_a_wrong_sampler_is_found(wrong):
    assert excess(wrong()) > 1


def test_the_sentence_names_token_position_and_counts():
    tokens = toss(0)
    tokens[:, 2] = 1
    found = calibration(tokens, predict(tokens))
    assert (found.position, found.token, found.drawn) == (2, 0, 0.0)
    probs = np.exp(predict(tokens)[:, 2, 0])
    expected = (probs ** (1 + found.weighted)).sum()
    assert found.predicted == pytest.approx(expected)
    sentence = found.sentence()
    assert sentence.startswith("token 0, at position 2: ")
    assert f" 0 where {expected:.5g} are expected" in sentence.replace(" times", "")


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_what_is_impossible_or_no_number_is_found(value):
    tokens = toss(0)
    log_probs = predict(tokens)
    log_probs[7, 3, tokens[7, 3]] = value
    assert calibration(tokens, log_probs).excess == np.inf
