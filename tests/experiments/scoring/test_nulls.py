"""Nulls: exact where the network is a biased base network, and against a general optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize

from experiments.scoring.fits import mean_kl
from experiments.scoring.labels import NULLS
from experiments.scoring.nulls import biased, fit_bias, nulls

RANDOM = np.random.default_rng(0)
GROUP = np.repeat(["in_domain", "held_out", "in_context"], [8, 3, 4])
PLACES = np.array([1, 3, 1, 3, 1, 3, 1, 3, 1, 1, 1, 5, 5, 3, 3])


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


BASE = log_softmax(1.5 * RANDOM.normal(size=(15, 4)))
NOISY = log_softmax(BASE + RANDOM.normal(size=(2, 3, 15, 4)))


@pytest.fixture
def contexts(make):
    made = make.contexts(BASE, GROUP)
    return type(made)(**{**vars(made), "position": PLACES, "calibration": np.arange(15) < 5})


def by_name(target, contexts):
    return {null.name: null for null in nulls(target, contexts)}


def test_a_biased_base_network_is_explained_by_every_null(contexts):
    bias = RANDOM.normal(size=(2, 3, 1, 4))
    target = log_softmax(BASE + bias)
    for name, null in by_name(target, contexts).items():
        np.testing.assert_allclose(null.log_probs, target, atol=1e-7, err_msg=name)
        assert all(nats.max() < 1e-12 for nats in null.best_in_class.values())
    assert set(by_name(target, contexts)) == set(NULLS[1:])


def test_the_bias_is_the_best_there_is():
    got = fit_bias(NOISY, BASE)

    def loss(bias, target):
        return -np.sum(np.exp(target) * log_softmax(BASE + bias)) / len(BASE)

    for seed, dose in np.ndindex(2, 3):
        best = minimize(loss, np.zeros(4), NOISY[seed, dose], method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(got[seed, dose], best.x - best.x.mean(), atol=1e-6)
    np.testing.assert_allclose(np.exp(biased(BASE, got[..., None, :])).mean(2), np.exp(NOISY).mean(2))


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_a_network_that_gives_one_answer_alone_is_followed(size):
    """No finite bias is exact for probabilities of 0 and 1; Newton must neither diverge nor stop early."""
    target = log_softmax(BASE + size * np.eye(4)[1])
    reached = mean_kl(target[None, None], biased(BASE, fit_bias(target, BASE)))
    assert reached.max() < 1e-10


def test_the_bias_is_fitted_on_the_calibration_contexts_and_the_shift_is_a_mean(contexts):
    null = by_name(NOISY, contexts)
    wanted = biased(BASE, fit_bias(NOISY[:, :, :5], BASE[:5])[:, :, None])
    np.testing.assert_array_equal(null["answer-bias"].log_probs, wanted)
    shift = (NOISY - BASE)[:, :, :5].mean(axis=2, keepdims=True)
    np.testing.assert_allclose(null["mean-shift"].log_probs, log_softmax(BASE + shift), atol=1e-12)


def test_a_place_has_its_own_bias_where_the_domain_has_that_place(contexts):
    """Places 1 and 3 are in-domain, 5 is not: there the answer bias stands."""
    null = by_name(NOISY, contexts)
    at = {place: null["position-bias"].log_probs[:, :, place == PLACES] for place in (1, 3, 5)}
    for place in (1, 3):
        seen = (GROUP == "in_domain") & (place == PLACES)
        bias = fit_bias(NOISY[:, :, seen], BASE[seen])[:, :, None]
        np.testing.assert_allclose(at[place], biased(BASE[place == PLACES], bias), atol=1e-12)
    np.testing.assert_array_equal(at[5], null["answer-bias"].log_probs[:, :, PLACES == 5])


def test_the_best_in_class_is_fitted_to_the_group_itself(contexts):
    null = by_name(NOISY, contexts)
    for name, made in null.items():
        for group, least in made.best_in_class.items():
            inside = group == GROUP
            reached = mean_kl(NOISY[:, :, inside], made.log_probs[:, :, inside])
            assert (least <= reached + 1e-12).all(), name
    held_out = GROUP == "held_out"
    best = biased(BASE[held_out], fit_bias(NOISY[:, :, held_out], BASE[held_out])[:, :, None])
    np.testing.assert_allclose(
        null["mean-shift"].best_in_class["held_out"], mean_kl(NOISY[:, :, held_out], best)
    )
    places, everywhere = (null[name].best_in_class["in_context"] for name in ("position-bias", "answer-bias"))
    assert (places < everywhere).all()  # answers stand at two places


def test_few_steps_fit_networks_of_single_precision(monkeypatch):
    """Their probabilities sum to 1 but for 1e-7, which no step can mend."""
    solved, solve = [], np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda *parts: solved.append(len(parts[0])) or solve(*parts))
    single = NOISY.astype(np.float32)
    got = fit_bias(single, BASE.astype(np.float32))
    assert sum(solved) < 10 * got[..., 0].size
    wanted = np.exp(single).mean(axis=-2)
    reached = np.exp(biased(BASE.astype(np.float32), got[..., None, :])).mean(axis=-2)
    np.testing.assert_allclose(reached, wanted, atol=1e-6)
