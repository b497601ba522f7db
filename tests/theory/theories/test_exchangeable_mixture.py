"""Counts of personas against numpy, and what does and does not reach another domain."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from theory.base import Dataset, Misuse, ladder
from theory.latent.mixture import Mixture
from theory.processes.persona_domain import example as domains
from theory.processes.persona_topics import example as topics
from theory.theories.exchangeable_mixture import ExchangeableMixture, variants


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cell:
    """One persona in one domain: the first token shows the domain, the others answer (2, 3)."""

    log_domain: Any
    log_answers: Any

    def predict(self, tokens):
        first = jnp.arange(tokens.shape[-1]) == 0
        row = jnp.where(first[:, None], self.log_domain, self.log_answers)
        return jnp.broadcast_to(row, (*tokens.shape, 4))


# the chance of answer 3, personas × domains
ANSWER = np.array([[0.2, 0.3], [0.7, 0.9]])
PERSONA, DOMAIN = np.array([0.8, 0.2]), np.array([0.4, 0.6])
INDEPENDENT = np.outer(PERSONA, DOMAIN)
TIED = np.array([[0.5, 0.1], [0.1, 0.3]])
DOCUMENTS = np.array([[0, 3, 3], [0, 3, 2], [0, 3, 3]])
DATA = Dataset(jnp.asarray(DOCUMENTS), jnp.ones((3, 3), bool))


def mixture(joint, factors=(2, 2)):
    domains, answers = [], []
    for persona, domain in product(range(2), range(2)):
        domains.append([*np.eye(2)[domain], 0, 0])
        p = ANSWER[persona, domain]
        answers.append([0, 0, 1 - p, p])
    cells = Cell(jnp.log(jnp.asarray(domains)), jnp.log(jnp.asarray(answers)))
    return Mixture(cells, jnp.log(jnp.asarray(joint)).reshape(-1), factors)


def likelihoods(document):
    """p(document | persona, domain)."""
    p = ANSWER
    for_answers = np.prod([p if token == 3 else 1 - p for token in document[1:]], axis=0)
    return for_answers * (np.arange(2) == document[0])


def moved(joint, beta, kappa):
    """The weights at which π = (κ π0 + β N(π)) / (κ + β n), in double precision."""
    weights, found = np.asarray(joint, float), np.stack([likelihoods(document) for document in DOCUMENTS])
    for _ in range(20_000):
        after = weights * found
        counts = (after / after.sum(axis=(1, 2), keepdims=True)).sum(axis=0)
        weights = (kappa * joint + beta * counts) / (kappa + beta * len(DOCUMENTS))
    return weights


def first_answer(predictor, domain):
    """p(answer 3 | domain shown)."""
    return float(np.exp(predictor.predict(jnp.asarray([[domain, 2, 2]])))[0, 1, 3])


@pytest.mark.parametrize("joint", [INDEPENDENT, TIED])
@pytest.mark.parametrize(("beta", "kappa"), [(0.0, 1.0), (0.4, 1.0), (2.0, 5.0), (30.0, 0.5)])
def test_saturated_weights_are_prior_and_counts(joint, beta, kappa):
    theory = ExchangeableMixture("saturated", kappa)
    after = theory.predict(mixture(joint), DATA, beta)
    wanted = moved(joint, beta, kappa)
    np.testing.assert_allclose(np.exp(after.log_weights).reshape(2, 2), wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(wanted.sum(), 1)


@pytest.mark.parametrize("joint", [INDEPENDENT, TIED])
@pytest.mark.parametrize("beta", [0.4, 2.0])
def test_product_weights_are_the_marginals_remultiplied(joint, beta):
    after = ExchangeableMixture("product", 2.0).predict(mixture(joint), DATA, beta)
    free = moved(joint, beta, 2.0)
    wanted = np.outer(free.sum(axis=1), free.sum(axis=0))
    np.testing.assert_allclose(np.exp(after.log_weights).reshape(2, 2), wanted, rtol=1e-5)


def test_product_of_three_factors():
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.ones(8)).reshape(2, 2, 2)
    p = rng.random(8)
    zeros = np.zeros(8)
    cells = Cell(
        jnp.log(jnp.tile(jnp.asarray([0.5, 0.5, 0, 0]), (8, 1))),
        jnp.log(jnp.asarray(np.stack([zeros, zeros, 1 - p, p], axis=-1))),
    )
    prior = Mixture(cells, jnp.log(jnp.asarray(joint)).reshape(-1), (2, 2, 2))
    free, product_ = (
        np.exp(ExchangeableMixture(family).predict(prior, DATA, 1.0).log_weights).reshape(2, 2, 2)
        for family in ("saturated", "product")
    )
    wanted = np.einsum("i,j,k->ijk", *(free.sum(axis=a) for a in ((1, 2), (0, 2), (0, 1))))
    np.testing.assert_allclose(product_, wanted, rtol=1e-5)


def test_product_at_strength_zero_is_the_product_of_the_priors_marginals():
    theory = ExchangeableMixture("product")
    after = np.exp(theory.predict(mixture(INDEPENDENT), DATA, 0.0).log_weights).reshape(2, 2)
    np.testing.assert_allclose(after, INDEPENDENT, rtol=1e-5)
    after = np.exp(theory.predict(mixture(TIED), DATA, 0.0).log_weights).reshape(2, 2)
    np.testing.assert_allclose(after, np.outer(TIED.sum(1), TIED.sum(0)), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.3, 3.0, 300.0])
@pytest.mark.parametrize("joint", [INDEPENDENT, TIED])
def test_a_saturated_learner_transfers_exactly_zero(joint, beta):
    prior = mixture(joint)
    after = ExchangeableMixture("saturated").predict(prior, DATA, beta)
    np.testing.assert_allclose(first_answer(after, 1), first_answer(prior, 1), rtol=1e-5)
    assert first_answer(after, 0) - first_answer(prior, 0) > 0.05  # it did learn
    np.testing.assert_allclose(
        first_answer(prior, 1), joint[:, 1] @ ANSWER[:, 1] / joint[:, 1].sum(), rtol=1e-6
    )


@pytest.mark.parametrize("beta", [0.3, 3.0, 300.0])
def test_a_product_learner_transfers_fully(beta):
    """The persona is believed in alike wherever it is asked, by the counts it had in one domain."""
    after = ExchangeableMixture("product").predict(mixture(INDEPENDENT), DATA, beta)
    persona = moved(INDEPENDENT, beta, 1.0).sum(axis=1)
    for domain in range(2):
        np.testing.assert_allclose(first_answer(after, domain), persona @ ANSWER[:, domain], rtol=1e-5)
        weights = np.exp(after.log_weights).reshape(2, 2)[:, domain]
        np.testing.assert_allclose(weights / weights.sum(), persona, rtol=1e-5, atol=1e-7)
    assert persona[1] - PERSONA[1] > 0.1


def tilted(joint, beta, kappa=1.0, documents=DATA):
    after = ExchangeableMixture("tilted", kappa).predict(mixture(joint), documents, beta)
    return np.exp(np.asarray(after.log_weights, float)).reshape(2, 2)


def odds_ratio(joint):
    return joint[0, 0] * joint[1, 1] / (joint[0, 1] * joint[1, 0])


@pytest.mark.parametrize("beta", [0.0, 0.4, 2.0, 30.0])
def test_tilted_weights_solve_the_quadratic_of_a_frozen_odds_ratio(beta):
    """x (1 - p - q + x) = θ (p - x) (q - x), with p, q the moved marginals and θ the prior's odds ratio."""
    free, theta = moved(TIED, beta, 1.0), odds_ratio(TIED)
    p, q = free.sum(axis=1)[0], free.sum(axis=0)[0]
    root = np.roots([1 - theta, 1 - p - q + theta * (p + q), -theta * p * q])
    (x,) = (x for x in root if max(0, p + q - 1) < x < min(p, q))
    np.testing.assert_allclose(tilted(TIED, beta), [[x, p - x], [q - x, 1 - p - q + x]], rtol=2e-5)
    elsewhere = tilted(TIED, beta)[:, 1] / tilted(TIED, beta)[:, 1].sum()
    assert abs(elsewhere[0] - p) > 0.5 * min(p, 1 - p)  # where a product learner says p


@pytest.mark.parametrize("beta", [0.4, 2.0])
def test_tilted_weights_are_the_nearest_to_the_prior_with_the_moved_marginals(beta):
    free = moved(TIED, beta, 1.0)
    p, q = free.sum(axis=1)[0], free.sum(axis=0)[0]

    def divergence(x):
        joint = np.array([[x, p - x], [q - x, 1 - p - q + x]])
        return np.sum(joint * np.log(joint / TIED))

    bounds = (max(0, p + q - 1) + 1e-9, min(p, q) - 1e-9)
    best = minimize_scalar(divergence, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    np.testing.assert_allclose(tilted(TIED, beta)[0, 0], best.x, rtol=2e-5)


@pytest.mark.parametrize("beta", [0.3, 3.0, 300.0])
def test_a_tilted_learner_of_an_independent_prior_is_a_product_learner(beta):
    wanted = ExchangeableMixture("product").predict(mixture(INDEPENDENT), DATA, beta)
    np.testing.assert_allclose(tilted(INDEPENDENT, beta).ravel(), np.exp(wanted.log_weights), rtol=2e-5)


@pytest.mark.parametrize("beta", [0.3, 3.0])
def test_in_a_tilted_learner_log_odds_of_personas_move_alike_in_every_domain(beta):
    change = np.diff(np.log(tilted(TIED, beta)), axis=0) - np.diff(np.log(TIED), axis=0)
    np.testing.assert_allclose(change[0, 0], change[0, 1], atol=2e-5)
    assert change[0, 0] > 0.1


@pytest.mark.parametrize("family", ["product", "tilted"])
def test_documents_that_show_a_domain_alone_move_no_persona_in_a_tilted_learner(family):
    """Personas that answer alike: nothing is learnt but which domain was asked."""
    silent = mixture(TIED)
    even = jnp.log(jnp.broadcast_to(jnp.asarray([0.0, 0.0, 0.5, 0.5]), silent.components.log_answers.shape))
    silent = Mixture(Cell(silent.components.log_domain, even), silent.log_weights, silent.factors)
    after = np.exp(ExchangeableMixture(family).predict(silent, DATA, 2.0).log_weights).reshape(2, 2)
    assert after[:, 0].sum() - TIED[:, 0].sum() > 0.2
    gap = np.abs(after / after.sum(axis=0) - TIED / TIED.sum(axis=0)).max()
    assert gap < 1e-6 if family == "tilted" else gap > 0.1


@pytest.mark.slow
def test_a_tilted_joint_of_three_factors_keeps_every_odds_ratio_and_gets_every_marginal():
    """With a cell that pretraining never saw: it stays impossible."""
    shape = (3, 2, 4)
    rng = np.random.default_rng(1)
    joint = rng.dirichlet(np.full(24, 0.7)).reshape(shape)
    joint[1, 0, 2] = 0.0
    joint /= joint.sum()
    answers = rng.dirichlet(np.ones(2), size=24)
    cells = Cell(
        jnp.log(jnp.tile(jnp.asarray([0.5, 0.5, 0, 0]), (24, 1))),
        jnp.log(jnp.asarray(np.concatenate([np.zeros((24, 2)), answers], axis=1))),
    )
    prior = Mixture(cells, jnp.log(jnp.asarray(joint)).reshape(-1), shape)
    free, held = (
        np.exp(ExchangeableMixture(family).predict(prior, DATA, 3.0).log_weights).reshape(shape)
        for family in ("saturated", "tilted")
    )
    assert held[1, 0, 2] == 0
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        np.testing.assert_allclose(held.sum(axis=others), free.sum(axis=others), rtol=1e-5)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(held / joint)  # r_u + s_d + t_e: every other second difference is 0
    for axes in ((0, 1), (0, 2), (1, 2)):
        second = np.diff(np.diff(ratio, axis=axes[0]), axis=axes[1])
        np.testing.assert_allclose(second[np.isfinite(second)], 0, atol=5e-6)
        assert np.isfinite(second).sum() > 3
    assert np.nanmax(np.abs(np.diff(ratio, axis=0))) > 0.05
    for family in ("saturated", "tilted"):
        before = np.exp(ExchangeableMixture(family).predict(prior, DATA, 0.0).log_weights)
        np.testing.assert_allclose(before, joint.ravel(), rtol=1e-5, atol=1e-8)


def test_a_tilted_ladder_is_predict_at_every_strength():
    betas = np.array([0.0, 0.3, 3.0, 30.0])
    got = ladder(ExchangeableMixture("tilted"), mixture(TIED), DATA, betas, lambda after: after.log_weights)
    wanted = [tilted(TIED, beta).ravel() for beta in betas.tolist()]
    np.testing.assert_allclose(np.exp(got), wanted, rtol=1e-5)


def test_a_tie_of_personas_and_domains_that_is_almost_certain_is_fitted_too():
    """Maximal correlation 0.96 in the prior: the documented limit of the sweeps."""
    tied = np.array([[0.49, 0.01], [0.01, 0.49]])
    free = moved(tied, 0.1, 1.0)
    held = tilted(tied, 0.1)
    for axis in (0, 1):
        np.testing.assert_allclose(held.sum(axis=axis), free.sum(axis=axis), rtol=1e-5)
    np.testing.assert_allclose(np.log(odds_ratio(held)), np.log(odds_ratio(tied)), rtol=1e-5)


@pytest.mark.parametrize("family", ["saturated", "product", "tilted"])
def test_only_the_ratio_of_strength_to_concentration_matters(family):
    first, other, third = (
        ExchangeableMixture(family, kappa).predict(mixture(TIED), DATA, beta).log_weights
        for kappa, beta in ((1.0, 0.3), (10.0, 3.0), (10.0, 0.3))
    )
    np.testing.assert_allclose(np.exp(first), np.exp(other), rtol=1e-5)
    assert np.abs(np.exp(first) - np.exp(third)).max() > 0.05


def personas(process, data):
    """Prior (k,) and likelihoods (n, k) of the documents, by hand."""
    answers = np.exp(np.asarray(process.components.answers, float))
    prior = np.exp(np.asarray(process.log_weights, float))
    rows = [
        [np.prod(table[document[::2], document[1::2] - 3]) for table in answers]
        for document in np.asarray(data.tokens)
    ]
    return prior, np.array(rows)


@pytest.mark.parametrize(("beta", "kappa"), [(0.02, 1.0), (0.5, 4.0), (1.0, 1.0), (20.0, 0.5)])
def test_the_weights_are_the_posterior_mode(process, data, posterior_mode, beta, kappa):
    """Of β Σ log Σ_z π_z p(x | z) + κ Σ π0 log π, by a general optimiser in double precision."""
    prior, found = personas(process, data)
    after = ExchangeableMixture(concentration=kappa).predict(process, data, beta)
    wanted = posterior_mode(prior, np.log(found.T), beta, kappa)
    np.testing.assert_allclose(np.exp(after.log_weights), wanted, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("kappa", [1.0, 10.0])
def test_the_mode_is_near_the_exact_posterior_mean_of_few_documents(process, data, kappa):
    """The mean under Dirichlet(κπ0), by enumeration of who wrote each of six documents. The mode is as far
    from it as the theory page states; one step of expectation-maximisation would be much further."""
    few = Dataset(data.tokens[:6], data.mask[:6])
    prior, found = personas(process, few)
    writers = np.array(list(product(range(3), repeat=6)))
    counts = (writers[:, :, None] == np.arange(3)).sum(axis=1)
    alpha = kappa * prior
    chance = gammaln(alpha + counts).sum(axis=1) + np.log(found[np.arange(6), writers]).sum(axis=1)
    chance = np.exp(chance - chance.max())
    mean = (chance / chance.sum()) @ (alpha + counts) / (kappa + 6)
    mode = np.exp(ExchangeableMixture(concentration=kappa).predict(process, few, 1.0).log_weights)
    one_step = prior * found
    one_step = (alpha + (one_step / one_step.sum(axis=1, keepdims=True)).sum(axis=0)) / (kappa + 6)
    assert np.abs(mode - mean).max() < 0.015 < 0.05 < np.abs(one_step - mean).max()


def test_bad_settings_are_refused():
    with pytest.raises(Misuse, match="'mean'"):
        ExchangeableMixture(family="mean")
    for family in ("product", "tilted"):
        with pytest.raises(Misuse, match=rf"The {family} family .* factors = \(\)"):
            ExchangeableMixture(family).predict(mixture(TIED, ()), DATA, 1.0)
    for kappa in (0.0, -1.5, np.nan):
        with pytest.raises(Misuse, match=str(kappa)):
            ExchangeableMixture(concentration=kappa)


def test_the_families_are_forms_where_the_hidden_variable_is_a_product():
    assert list(variants(topics())) == ["exchangeable-mixture"]
    forms = variants(domains())
    assert {name: theory.family for name, theory in forms.items()} == {
        "exchangeable-mixture": "saturated",
        "exchangeable-product": "product",
        "exchangeable-tilted": "tilted",
    }
    assert [theory.optional for theory in forms.values()] == [False, True, True]
    assert [theory.bound for theory in forms.values()] == ["mixture", "path", "path"]
