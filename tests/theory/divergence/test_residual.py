"""Residuals made by hand: shares, layers, and updates in known spans."""

import subprocess
import sys

import numpy as np
import pytest

from theory.divergence.residual import captured, concentration, kl, layers, split
from theory.errors import Misuse

RNG = np.random.default_rng(0)
FINETUNED, THEORY, BASE = np.log(RNG.dirichlet(np.ones(4), size=(3, 2, 3, 6)))  # s = 2, d = 3, c = 6


def test_kl_is_scipys_and_takes_zeros():
    from scipy.special import rel_entr

    wanted = rel_entr(np.exp(FINETUNED), np.exp(BASE)).sum(axis=-1)
    np.testing.assert_allclose(kl(FINETUNED, BASE), wanted, rtol=1e-10)
    with np.errstate(divide="ignore"):
        sure, even = np.log([[1.0, 0.0]]), np.log([[0.5, 0.5]])
    assert kl(sure, even) == pytest.approx(np.log(2)) and kl(sure, sure) == 0
    assert kl(even, sure) == np.inf


def test_a_split_by_label_is_a_loop_over_contexts():
    labels = ["b", "a", "b", "c", "a", "b"]
    result = split(FINETUNED, THEORY, BASE, labels)
    assert result.labels.tolist() == ["b", "a", "c"] and result.count.tolist() == [3, 2, 1]
    assert (
        result.share.shape
        == result.residual.shape
        == result.shift.shape
        == result.explained.shape
        == (2, 3, 3)
    )
    residual, shift = kl(FINETUNED, THEORY), kl(FINETUNED, BASE)
    for g, rows in enumerate(([0, 2, 5], [1, 4], [3])):
        np.testing.assert_allclose(result.residual[..., g], residual[..., rows].mean(axis=-1))
        np.testing.assert_allclose(result.shift[..., g], shift[..., rows].mean(axis=-1))
        share = residual[..., rows].sum(axis=-1) / residual.sum(axis=-1)
        np.testing.assert_allclose(result.share[..., g], share)
        explained = 1 - residual[..., rows].sum(axis=-1) / shift[..., rows].sum(axis=-1)
        np.testing.assert_allclose(result.explained[..., g], explained)
    np.testing.assert_allclose(result.share.sum(axis=-1), 1)
    network = split(FINETUNED[1, 2], THEORY[1, 2], BASE[1, 2], labels)
    np.testing.assert_allclose(network.share, result.share[1, 2])


def test_a_residual_in_one_topic_is_found_there():
    """A theory that is right everywhere but on topic 7: all of the residual, none explained."""
    topics = np.array([5, 7, 5, 7, 9, 9])
    right = np.where((topics == 7)[:, None], BASE, FINETUNED)
    result = split(FINETUNED, right, BASE, topics)
    np.testing.assert_allclose(result.share, np.broadcast_to([0, 1, 0], (2, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(result.explained, np.broadcast_to([1, 0, 1], (2, 3, 3)), atol=1e-12)


def test_without_residual_or_shift_there_is_no_share():
    result = split(FINETUNED, FINETUNED, FINETUNED, range(6))
    assert np.isnan(result.share).all() and np.isnan(result.explained).all()
    assert (result.residual == 0).all() and result.labels.tolist() == list(range(6))


def test_what_a_theory_finds_impossible_spoils_its_own_label_only():
    theory = THEORY.copy()
    theory[:, :, 1, 0] = -np.inf
    result = split(FINETUNED, theory, BASE, list("abcdef"))
    assert np.isinf(result.residual[..., 1]).all()
    np.testing.assert_allclose(np.delete(result.residual, 1, -1), np.delete(kl(FINETUNED, THEORY), 1, -1))


def test_a_label_for_every_context():
    with pytest.raises(Misuse, match=r"got 6 contexts and labels \(5,\)"):
        split(FINETUNED, THEORY, BASE, range(5))


def test_concentration_cumulates_from_the_largest():
    result = concentration(np.array([[1.0, 5.0, 0.0, 2.0], [3.0, 3.0, 3.0, 3.0], [0.0] * 4]))
    np.testing.assert_allclose(result[0], [5 / 8, 7 / 8, 1, 1])
    np.testing.assert_allclose(result[1], [0.25, 0.5, 0.75, 1])
    assert np.isnan(result[2]).all()
    np.testing.assert_allclose(concentration(np.array([1.0, 5.0, 0.0, 2.0], np.float32)), result[0])


def test_single_precision_is_computed_with_in_double():
    left, right = (np.asarray(part, np.float32) for part in (FINETUNED, BASE))
    np.testing.assert_array_equal(kl(left, right), kl(left.astype(float), right.astype(float)))
    residual = kl(left, right).astype(np.float32)
    np.testing.assert_array_equal(concentration(residual), concentration(residual.astype(float)))
    update, values, vectors = (
        np.asarray(part, np.float32) for part in (RNG.normal(size=6), [2, 1], rotation(6, 4)[:2])
    )
    wanted = captured(*(part.astype(float) for part in (update, values, vectors)))
    np.testing.assert_array_equal(captured(update, values, vectors), wanted)


ACTUAL = {
    "blocks": [{"up": np.array([[3.0, 0.0], [0.0, 4.0]])}, {"up": np.zeros((1, 2))}],
    "read": np.ones(4),
}
PREDICTED = {
    "blocks": [{"up": np.array([[0.0, 4.0], [0.0, 4.0]])}, {"up": np.ones((1, 2))}],
    "read": -np.ones(4),
}


def test_layers_by_hand():
    result = layers(ACTUAL, PREDICTED)
    assert list(result) == ["blocks.0.up", "blocks.1.up", "read"]
    one = result["blocks.0.up"]
    assert (one.actual, one.theory) == pytest.approx((5, np.sqrt(32)))
    assert one.cosine == pytest.approx(16 / (5 * np.sqrt(32))) and one.relative_error == pytest.approx(1)
    still = result["blocks.1.up"]
    assert (still.actual, still.theory) == pytest.approx((0, np.sqrt(2)))
    assert np.isnan(still.cosine) and np.isnan(still.relative_error)
    assert result["read"].cosine == pytest.approx(-1) and result["read"].relative_error == pytest.approx(2)


def test_layers_are_put_together_by_name():
    result = layers(ACTUAL, PREDICTED, lambda name: name.split(".")[0])
    assert list(result) == ["blocks", "read"]
    assert result["blocks"].actual == pytest.approx(5) and result["blocks"].theory == pytest.approx(
        np.sqrt(34)
    )
    assert result["blocks"].relative_error == pytest.approx(np.sqrt(25 + 2) / 5)
    whole = layers(ACTUAL, PREDICTED, lambda name: "all")["all"]
    assert whole.actual == pytest.approx(np.sqrt(29)) and whole.cosine == pytest.approx(12 / np.sqrt(29 * 38))


def test_half_the_update_is_half_wrong():
    half = layers(
        ACTUAL,
        {"blocks": [{"up": ACTUAL["blocks"][0]["up"] / 2}, {"up": np.zeros((1, 2))}], "read": np.ones(4) / 2},
    )
    assert half["blocks.0.up"].cosine == pytest.approx(1)
    assert half["blocks.0.up"].relative_error == pytest.approx(0.5) == half["read"].relative_error


def test_layers_that_do_not_match_are_named():
    with pytest.raises(Misuse, match=r"differ at \['b', 'c'\]"):
        layers({"a": np.ones(2), "b": np.ones(2)}, {"a": np.ones(2), "b": np.ones(3), "c": np.ones(1)})


def rotation(size, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def test_an_update_in_a_known_span():
    """Weights 1, 2 and 2 along three of six orthogonal directions: shares 1/9, 4/9, 4/9, by eigenvalue."""
    directions = rotation(6, 1)
    update = directions[4] - 2 * directions[2] + 2 * directions[0]
    result = captured(update, np.array([0.5, 9.0, 3.0]), directions[[0, 4, 2]])
    np.testing.assert_allclose(result, [1 / 9, 5 / 9, 1], atol=1e-12)
    outside = captured(
        np.stack([directions[5], 0 * update]), np.array([0.5, 9.0, 3.0]), directions[[0, 4, 2]]
    )
    np.testing.assert_allclose(outside[0], 0, atol=1e-12)
    assert np.isnan(outside[1]).all()


def test_a_gradient_step_follows_its_curvature():
    """Of a quadratic ½ wᵀHw from w: the step -Hw has the share h_i² w_i² / Σ h² w² along mode i."""
    modes, curvature, along = rotation(5, 2), np.array([8.0, 4.0, 2.0, 1.0, 0.5]), RNG.normal(size=5)
    step = -(modes.T * curvature) @ modes @ (modes.T @ along)
    values, vectors = np.linalg.eigh((modes.T * curvature) @ modes)
    wanted = np.cumsum((curvature * along) ** 2) / np.sum((curvature * along) ** 2)
    np.testing.assert_allclose(captured(step, values, vectors.T), wanted, rtol=1e-10)


def test_vectors_that_lost_orthogonality_span_the_same():
    directions, update = rotation(6, 3), RNG.normal(size=(2, 6))
    values = np.array([3.0, 2.0, 1.0])
    skewed = np.stack([directions[0], directions[1] + 0.3 * directions[0], 5 * directions[2] - directions[1]])
    np.testing.assert_allclose(captured(update, values, skewed), captured(update, values, directions[:3]))


def test_bad_eigenpairs_are_refused():
    two = np.eye(3)[:2]
    with pytest.raises(Misuse, match=r"got \(3,\), \(2, 3\) and \(3,\)"):
        captured(np.ones(3), np.ones(3), two)
    with pytest.raises(Misuse, match=r"got \(2,\), \(2, 3\) and \(4,\)"):
        captured(np.ones(4), np.ones(2), two)
    with pytest.raises(Misuse, match="The 2 eigenvectors are not independent"):
        captured(np.ones(3), np.ones(2), np.ones((2, 3)))
    with pytest.raises(Misuse, match="The 2 eigenvectors are not independent"):
        captured(np.ones(3), np.ones(2), np.zeros((2, 3)))
    with pytest.raises(
        Misuse, match="The 2 eigenvectors are not independent"
    ):  # but for rounding, in any unit
        captured(np.ones(3), np.ones(2), 1e4 * (np.ones((2, 3)) + 1e-7 * np.eye(2, 3)))
    with pytest.raises(Misuse, match="The 4 eigenvectors are not independent"):
        captured(np.ones(3), np.ones(4), np.eye(4, 3) + 1)


def test_no_jax_is_needed():
    result = "import sys, theory.divergence.residual; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", result], check=False).returncode == 0
