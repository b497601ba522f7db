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


def bound(variance, positions=1, vocabulary=2):
    sums = 2 * (positions + 1) * vocabulary + (positions - 1) * vocabulary**2
    limit = np.log(2 * sums / 1e-6)
    return limit / 3 + np.sqrt(limit**2 / 9 + 2 * limit * variance)


def test_the_bound_of_one_toss_is_that_of_the_formula():
    found = calibration(np.array([[0]]), np.log([[[0.9, 0.06, 0.04]]]))
    assert found.excess == pytest.approx(0.1 / bound(0.09, vocabulary=3))
    assert found.sentence() == (
        "token 0, at position 0: it is drawn 1 times where 0.9 are expected, beyond chance"
    )


def test_what_is_small_at_each_position_is_larger_at_all_together():
    found = calibration(np.array([[1, 1]]), np.full((1, 2, 2), np.log(0.5)))
    assert found.excess == pytest.approx(1 / bound(0.5, positions=2))
    assert found.sentence().startswith("token 0, at all positions together: it is drawn 0 times where 1 are")


def test_draws_of_the_right_frequency_that_ignore_predictions_are_found_by_weights():
    """What is predicted of a document is drawn in the other: p - 1 and p of a token cancel, p² - p do not."""
    probs = np.array([[[0.1, 0.9]], [[0.9, 0.1]]], np.float32)
    found = calibration(np.array([[0], [1]]), np.log(probs))
    assert found.weighted and found.excess == pytest.approx(0.72 / bound(0.09 * 0.82), rel=1e-6)
    assert (found.drawn, found.predicted) == pytest.approx((0.1, 0.82), rel=1e-6)
    assert found.sentence() == (
        "token 0, at position 0: the predicted probabilities of its draws sum to 0.1 where 0.82 are "
        "expected, beyond chance"
    )


def test_what_is_right_on_average_over_the_token_before_is_found():
    """The second token is the first, and a fair coin is predicted: right in frequency, as is p² for p."""
    tokens = np.repeat([[0, 0], [1, 1]], 100, axis=0)
    found = calibration(tokens, np.full((200, 2, 2), np.log(0.5)))
    assert found.excess == pytest.approx(50 / bound(25, positions=2))
    assert (found.position, found.after, found.drawn, found.predicted) == (1, 0, 100, 50)
    assert found.sentence() == (
        "token 0, at position 1 after token 0: it is drawn 100 times where 50 are expected, beyond chance"
    )


def test_what_is_certain_is_drawn():
    with np.errstate(divide="ignore"):
        assert calibration(np.zeros((3, 1), int), np.log([[[1.0, 0.0]]] * 3)).excess == 0


def test_single_precision_is_summed_in_double():
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(3), size=(2000, 2))).astype(np.float32)
    tokens = rng.integers(0, 3, (2000, 2))
    assert calibration(tokens, log_probs) == calibration(tokens, log_probs.astype(float))


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
