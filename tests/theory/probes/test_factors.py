"""Factored or joint: planted codes of both kinds are told apart."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.factors import (
    beyond_factors,
    chance_angle,
    code_dimensions,
    dimensions,
    explained_dimensions,
    factor_angle,
    factor_beliefs,
    interaction,
    varies,
)
from theory.probes.scores import score_numbers

RANDOM = np.random.default_rng(0)
FACTORS = (2, 3)
FIRST, SECOND = RANDOM.dirichlet(np.ones(2), (60, 5)), RANDOM.dirichlet(np.ones(3), (60, 5))
INDEPENDENT = np.einsum("ntu,ntd->ntud", FIRST, SECOND).reshape(60, 5, 6)
DEPENDENT = RANDOM.dirichlet(np.ones(6), (60, 5))
HELD = np.arange(60) % 3 == 0
FITTED = np.repeat(~HELD[:, None], 5, axis=1)


def test_marginals_and_their_interaction():
    for found, wanted in zip(factor_beliefs(INDEPENDENT, FACTORS), (FIRST, SECOND), strict=True):
        np.testing.assert_allclose(found, wanted)
    assert not varies(interaction(INDEPENDENT, FACTORS)) and varies(interaction(DEPENDENT, FACTORS))
    np.testing.assert_allclose(interaction(DEPENDENT, FACTORS).sum(axis=-1), 0, atol=1e-12)


def test_a_joint_code_has_the_interaction_and_a_factored_one_has_not():
    factored = np.concatenate(factor_beliefs(DEPENDENT, FACTORS), axis=-1)
    targets = beyond_factors(DEPENDENT, FACTORS, FITTED)
    for target in (targets, interaction(DEPENDENT, FACTORS)):
        assert score_numbers(factored, target, HELD).held_out < 0.1
    assert score_numbers(DEPENDENT, targets, HELD).held_out > 0.999
    joint, alone = (
        explained_dimensions(x.reshape(300, -1), DEPENDENT.reshape(300, 6), 0.999)
        for x in (DEPENDENT, factored)
    )
    assert (joint, alone) == (5, 3)


def test_exact_codes_and_random_subspaces_have_known_sizes():
    rows = DEPENDENT.reshape(300, 6)
    assert code_dimensions(rows, FACTORS, 0.999) == (3, 5)
    random = np.random.default_rng(0)
    assert chance_angle(2, (1, 1), random, 2000) == pytest.approx(45, abs=2)  # uniform from 0 to 90
    assert chance_angle(4, (3, 3), random) < 1e-4 and chance_angle(200, (1, 1), random, 20) > 85


def test_dimensions_count_principal_components():
    values = RANDOM.normal(size=(5000, 4)) * np.sqrt([0.7, 0.2, 0.09, 0.01])
    assert [dimensions(values, share) for share in (0.5, 0.8, 0.95)] == [1, 2, 3]


def test_factors_in_orthogonal_subspaces_are_at_a_right_angle():
    apart = np.concatenate([FIRST, SECOND], axis=-1).reshape(300, 5)
    apart = apart @ np.linalg.qr(RANDOM.normal(size=(5, 5)))[0]
    assert factor_angle(apart, INDEPENDENT.reshape(300, 6), FACTORS) > 75
    shared = DEPENDENT.copy()
    shared[..., 0] += 3 * FIRST[..., 0]  # a persona that decides the domain
    shared /= shared.sum(axis=-1, keepdims=True)
    assert factor_angle(shared.reshape(300, 6), shared.reshape(300, 6), FACTORS) < 60


def test_beliefs_over_other_combinations_are_refused():
    with pytest.raises(Misuse, match="need 6 entries, got 5"):
        factor_beliefs(DEPENDENT[..., :5], FACTORS)
