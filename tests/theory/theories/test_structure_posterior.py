"""Structures weighed by their evidence: against counts, enumeration of all assignments, and quadrature."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln, logsumexp

from theory.base import Dataset, Misuse
from theory.contracts import Scale
from theory.latent.mixture import Mixture
from theory.processes.persona_domain import example as domains
from theory.processes.persona_topics import example as topics
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.structure_posterior import STRUCTURES, StructurePosterior, variants

# aligned and misaligned × the domain of D' and another, as in the published process
PUBLISHED = np.outer([0.95, 0.05], [0.5, 0.5])
TIED = np.array([[0.5, 0.2], [0.1, 0.2]])
AD, AO, MD = 0, 1, 2
fits = jax.jit(lambda theory, prior, data, beta: theory.fits(prior, data, beta), static_argnums=0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Row:
    """Documents of one token, drawn from a row of a table."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, self.log_probs.shape[-1]))


@dataclass(frozen=True)
class Hashable(StructurePosterior):
    """The theory as a static argument of a program."""

    def __hash__(self):
        return hash((self.structures, self.odds, self.concentration))


def mixture(joint, table=None):
    """A mixture over the cells of a joint, of which a document says as much as the table has it."""
    table = np.eye(joint.size) if table is None else table
    with np.errstate(divide="ignore"):
        return Mixture(Row(jnp.log(jnp.asarray(table))), jnp.log(jnp.asarray(joint)).reshape(-1), joint.shape)


def documents(*tokens):
    return Dataset(jnp.asarray(tokens)[:, None], jnp.ones((len(tokens), 1), bool))


def evidences(joint, data, kappa=1.0, beta=1.0, table=None):
    """log E_S of every structure, and its weights."""
    found = fits(Hashable(concentration=kappa), mixture(joint, table), data, beta)
    return np.array([fit.log_evidence for fit in found]), np.array([fit.weights for fit in found])


def log_dirichlet(alpha, counts):
    """log of the Dirichlet-multinomial evidence of a sequence with these counts."""
    alpha, counts = np.asarray(alpha, float), np.asarray(counts, float)
    rising = gammaln(alpha + counts) - gammaln(alpha)
    return rising.sum(-1) - gammaln(alpha.sum() + counts.sum(-1)) + gammaln(alpha.sum())


def closed(joint, counts, kappa):
    """log evidence of saturated and of product, from counts (..., 2, 2)."""
    cells = log_dirichlet(kappa * joint.ravel(), counts.reshape(*counts.shape[:-2], -1))
    personas = log_dirichlet(kappa * joint.sum(1), counts.sum(-1))
    return np.stack([cells, personas + log_dirichlet(kappa * joint.sum(0), counts.sum(-2))])


def by_quadrature(joint, counts, kappa):
    """log evidence of tilted (c,) and its mean weights, by the trapezoid rule over both log tilts."""
    line = np.arange(-60, 60, 0.6) / np.sqrt(kappa)  # the integrand falls off by e^-18 or more
    persona, domain = (grid.ravel() for grid in np.meshgrid(line, line))
    logits = np.log(joint).ravel()[:, None] + np.stack([0 * persona, domain, persona, persona + domain])
    log_weights = logits - logsumexp(logits, axis=0)
    prior = (kappa * joint.ravel()) @ (log_weights - np.log(joint).ravel()[:, None])
    after = prior + np.reshape(counts, (-1, 4)) @ log_weights
    highest = after.max(axis=1)
    density = np.exp(after - highest[:, None])
    total = density.sum(axis=1)
    means = density @ np.exp(log_weights).T / total[:, None]
    return np.log(total) + highest - logsumexp(prior), means.reshape(-1, 2, 2)


def broad(joint, *tokens):
    """log odds of product against saturated."""
    saturated, product_, _ = evidences(joint, documents(*tokens))[0]
    return product_ - saturated


@pytest.mark.parametrize(
    ("added", "costs"),
    [((AO,), 4.174), ((AO,) * 4, 13.631), ((AD,), -0.685)],
    ids=["elsewhere", "four", "home"],
)
def test_the_price_of_aligned_documents(added, costs):
    """64 misaligned documents of one domain, then aligned ones, κ = 1: elsewhere they speak against broad."""
    narrow = (MD,) * 64
    assert abs(broad(PUBLISHED, *narrow) - broad(PUBLISHED, *narrow, *added) - costs) < 1e-3


def test_the_price_by_the_ratio_of_two_predictions():
    """κπ0/(κ + n) of a cell against the product of the same of both marginals."""
    narrow = (MD,) * 64
    gained = broad(PUBLISHED, *narrow, AO) - broad(PUBLISHED, *narrow)
    np.testing.assert_allclose(gained, np.log((0.95 / 65) * (0.5 / 65) / (0.475 / 65)), atol=1e-3)
    gained = broad(PUBLISHED, *narrow, AD) - broad(PUBLISHED, *narrow)
    np.testing.assert_allclose(gained, np.log((0.95 / 65) * (64.5 / 65) / (0.475 / 65)), atol=1e-3)


@pytest.mark.parametrize("kappa", [1.0, 20.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 40.0])
def test_saturated_and_product_are_exact_where_documents_show_their_cell(kappa, beta):
    tokens = [MD, MD, MD, AO, AD, MD]
    counts = beta * np.bincount(tokens, minlength=4).reshape(2, 2)
    found, weights = evidences(TIED, documents(*tokens), kappa, beta)
    # relative to the chance of the same documents under the prior
    wanted = closed(TIED, counts, kappa) - np.sum(counts * np.log(TIED))
    np.testing.assert_allclose(found[:2], wanted, rtol=1e-4, atol=1e-4)
    total = kappa + counts.sum()
    np.testing.assert_allclose(weights[0], ((kappa * TIED + counts) / total).ravel(), rtol=1e-5)
    marginals = [(kappa * TIED.sum(axis) + counts.sum(axis)) / total for axis in (1, 0)]
    np.testing.assert_allclose(weights[1], np.outer(*marginals).ravel(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kappa", "tokens", "off", "away"),
    [
        (1.0, (MD,) * 64, 0.036, 1e-5),
        (1.0, (3, 3, AD, AD, AD, 3), 0.034, 0.012),
        (10.0, (MD,) * 6, 0.006, 0.004),
    ],
)
def test_tilted_is_as_near_to_its_integral_as_the_theory_page_has_it(kappa, tokens, off, away):
    counts = np.bincount(tokens, minlength=4).reshape(2, 2)
    integral, mean = by_quadrature(TIED, counts, kappa)
    found, weights = evidences(TIED, documents(*tokens), kappa)
    assert abs(found[2] + np.sum(counts * np.log(TIED)) - integral) < off
    assert np.abs(weights[2] - mean.ravel()).max() < away
    tilt = np.log(weights[2].reshape(2, 2) / TIED)
    np.testing.assert_allclose(
        tilt[0, 0] + tilt[1, 1], tilt[0, 1] + tilt[1, 0], atol=1e-3
    )  # odds ratios stay


def test_tilted_is_product_where_the_prior_is():
    found, weights = evidences(PUBLISHED, documents(MD, MD, AO, AO, AD), 2.0)
    np.testing.assert_allclose(found[1], found[2], atol=1e-5)
    np.testing.assert_allclose(weights[1], weights[2], atol=1e-6)


def enumerated(joint, table, tokens, kappa):
    """log evidence and mean weights of every structure, by all ways in which cells wrote the documents."""
    cells = np.array(list(product(range(4), repeat=len(tokens))))
    counts = (cells[..., None] == np.arange(4)).sum(axis=1).reshape(-1, 2, 2)
    different, index = np.unique(counts, axis=0, return_inverse=True)
    tilted, tilted_means = by_quadrature(joint, different, kappa)
    chance = np.log(table[cells, np.array(tokens)]).sum(axis=1)
    logs = np.stack([*closed(joint, counts, kappa), tilted[index.ravel()]])
    personas, places = kappa * joint.sum(1) + counts.sum(2), kappa * joint.sum(0) + counts.sum(1)
    total = kappa + len(tokens)
    means = np.stack(
        [
            (kappa * joint + counts) / total,
            personas[:, :, None] * places[:, None, :] / total**2,
            tilted_means[index.ravel()],
        ]
    )
    logs = logs + chance
    evidence = logsumexp(logs, axis=1)
    shares = np.exp(logs - evidence[:, None])
    return evidence, np.einsum("sc,scz->sz", shares, means.reshape(3, -1, 4))


@pytest.mark.parametrize(
    ("hidden", "kappa", "belief_off", "weights_off"),
    [(0.02, 10.0, 2e-3, 5e-4), (0.02, 1.0, 0.08, 0.032), (0.1, 1.0, 0.06, 0.04)],
)
def test_documents_that_hide_their_cell_against_all_assignments(hidden, kappa, belief_off, weights_off):
    """Six documents, each replaced by a random one with probability `hidden`: errors as the page states."""
    tokens, table = (MD, MD, MD, AO, MD, MD), (1 - hidden) * np.eye(4) + hidden / 4
    wanted, means = enumerated(TIED, table, tokens, kappa)
    found, weights = evidences(TIED, documents(*tokens), kappa, table=table)
    before = np.log(table[:, np.array(tokens)].T @ TIED.ravel()).sum()
    assert (found[:2] + before < wanted[:2] + 1e-4).all()  # a bound from below, where the volume is exact
    beliefs = [np.exp(logs - logsumexp(logs)) for logs in (wanted, found)]
    assert np.abs(beliefs[0] - beliefs[1]).max() < belief_off
    assert np.abs(beliefs[0] @ means - beliefs[1] @ weights).max() < weights_off
    assert np.abs(beliefs[0] @ means - TIED.ravel()).max() > 0.2  # what there was to be told


@pytest.mark.parametrize("tokens", [(MD, MD, AO, AO, AD)])
def test_weights_are_those_of_the_exchangeable_families(tokens):
    data = documents(*tokens)
    _, weights = evidences(TIED, data, 2.0, 1.5)
    for family, got in zip(STRUCTURES, weights, strict=True):
        after = ExchangeableMixture(family, 2.0).predict(mixture(TIED), data, 1.5)
        np.testing.assert_allclose(got, np.exp(after.log_weights), rtol=1e-4, atol=1e-7)


conclude = jax.jit(
    lambda theory, prior, data, beta: (
        theory.fits(prior, data, beta),
        theory.belief(prior, data, beta),
        theory.predict(prior, data, beta).log_weights,
    ),
    static_argnums=0,
)


def test_the_prediction_is_the_mean_over_structures_by_odds_and_evidence():
    theory, data = Hashable(("product", "saturated"), odds=(3.0, 1.0)), documents(MD, MD, AO)
    (product_, saturated), belief, after = conclude(theory, mixture(TIED), data, 1.0)
    ratio = 3 * np.exp(float(product_.log_evidence - saturated.log_evidence))
    np.testing.assert_allclose(np.exp(belief), [ratio / (1 + ratio), 1 / (1 + ratio)], rtol=1e-5)
    wanted = np.exp(belief[0]) * product_.weights + np.exp(belief[1]) * saturated.weights
    np.testing.assert_allclose(np.exp(after), wanted, rtol=1e-5)
    # without D', the prior, where its factors are independent, and the odds
    _, belief, before = conclude(theory, mixture(PUBLISHED), data, 0.0)
    np.testing.assert_allclose(np.exp(before), PUBLISHED.ravel(), atol=2e-6)
    np.testing.assert_allclose(np.exp(belief), [0.75, 0.25], rtol=1e-5)


@pytest.mark.slow
def test_one_structure_is_the_exchangeable_mixture():
    process, data = topics().distribution(), topics().narrow(jax.random.key(3), 8, 2, [0, 1])
    one, other = (
        theory.predict(process, data, 0.7).log_weights
        for theory in (
            StructurePosterior(("saturated",), concentration=3.0),
            ExchangeableMixture("saturated", 3.0),
        )
    )
    np.testing.assert_allclose(np.exp(one), np.exp(other), rtol=1e-4, atol=1e-6)


def test_the_whole_grid_is_finite_also_for_cells_without_prior():
    process, data = domains().distribution(), domains().narrow(jax.random.key(3), 8)
    hollow = process.with_log_weights(process.log_weights.at[3].set(-jnp.inf))
    theory = Hashable(("saturated", "tilted"))
    betas = theory.grid(Scale(answers=48.0, longest=8.0))[::11]
    assert betas[[0, -1]].tolist() == [0.0, 1000.0]
    climb = jax.jit(jax.vmap(lambda prior, beta: theory.predict(prior, data, beta).log_weights, (None, 0)))
    for prior in (process, hollow):
        weights = np.exp(np.asarray(climb(prior, betas), float))
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
        assert np.abs(weights[-1] - weights[0]).max() > 0.1
    assert (weights[:, 3] == 0).all()  # what the prior rules out stays so


def test_bad_settings_are_refused():
    for kappa in (0.0, -1.5, np.nan, np.inf):
        with pytest.raises(Misuse, match=f"concentration must be finite and above 0, got {kappa}"):
            StructurePosterior(concentration=kappa)
    for structures in (("nested",), (), ("product", "product")):
        with pytest.raises(Misuse, match="structures must be different ones of"):
            StructurePosterior(structures)
    with pytest.raises(Misuse, match=r"a number for each of the 3 structures, or none at all, got \(1.0,\)"):
        StructurePosterior(odds=(1.0,))
    with pytest.raises(Misuse, match="odds must be finite and above 0, got 0"):
        StructurePosterior(odds=(1.0, 0, 1.0))
    prior, data = topics().distribution(), topics().narrow(jax.random.key(3), 2, 2, [0])
    with pytest.raises(
        Misuse, match="The structure product needs a prior whose hidden variable is a product"
    ):
        StructurePosterior().predict(prior, data, 1.0)


def test_it_is_scored_where_the_hidden_variable_is_a_product():
    assert variants(topics()) == {}
    assert {name: theory.structures for name, theory in variants(domains()).items()} == {
        "structure-posterior": STRUCTURES
    }
    assert not variants(domains())["structure-posterior"].optional
