"""The weight of the context: exact where answers are a mixture whose evidence counts K times."""

import numpy as np
import pytest

from experiments.scoring.context_filter import efficiency, prior_odds

RANDOM = np.random.default_rng(0)
K, C, A = 3, 12, 4
COMPONENTS = np.log(RANDOM.dirichlet(np.ones(A), size=(K, C)))
EVIDENCE = np.repeat([0.0, 1.0, 3.0], 4) * RANDOM.normal(size=(K, C))
PRIOR = np.log([0.5, 0.3, 0.2])


def answers(count, log_prior=PRIOR):
    """Of a filter by which evidence counts `count` times."""
    joint = log_prior[:, None] + count * EVIDENCE
    belief = np.exp(joint) / np.exp(joint).sum(axis=0)
    return np.log(np.einsum("kc,kca->ca", belief, np.exp(COMPONENTS)))


@pytest.mark.parametrize("count", [0.5, 1.0, 1.72])
def test_a_scaled_filter_has_its_scale_and_its_prior(count):
    found, curves = efficiency(answers(count)[None], COMPONENTS, EVIDENCE)
    np.testing.assert_allclose(found, count, atol=0.006)
    assert curves(found[0])[0] < 1e-5 < curves(2 * count)[0]
    odds = prior_odds(answers(count)[None], COMPONENTS, EVIDENCE, found, 0)
    np.testing.assert_allclose(odds, PRIOR[0] - PRIOR[1:].mean(), atol=0.02)


def test_networks_are_fitted_each_at_its_own_weight():
    both = np.stack([answers(0.5), answers(1.0, PRIOR + np.array([2.0, 0.0, 0.0]))])
    found, _ = efficiency(both, COMPONENTS, EVIDENCE)
    np.testing.assert_allclose(found[0] / found[1], 0.5, atol=1e-9)
    odds = prior_odds(both, COMPONENTS, EVIDENCE, found, 0)
    assert odds[1] - odds[0] == pytest.approx(2.0, abs=1e-3)


def test_a_hypothesis_that_no_context_brings_up_has_no_odds():
    certain = answers(1.0, np.array([0.0, -12.0, -1.0]))
    found, _ = efficiency(certain[None], COMPONENTS, EVIDENCE)
    assert np.isnan(prior_odds(certain[None], COMPONENTS, EVIDENCE, found, 0))
