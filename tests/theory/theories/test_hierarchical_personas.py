"""Weights and tables together: limits, the conjugate case, and enumeration of the writers of documents."""

from dataclasses import dataclass, replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from theory.base import Dataset, Misuse, mean_loss
from theory.contracts import Setting
from theory.latent.mixture import Mixture
from theory.processes.persona_domain import example as domains
from theory.processes.persona_topics import example
from theory.processes.wordings import example as wordings
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.hierarchical_personas import FITTED, MOST, HierarchicalPersonas, variants

TOPICS = 3  # of the process of the fixtures, which has two answers; D' asks topics 0 and 1, never 2


def _learn(c, kappa, prior, data, beta):
    after = HierarchicalPersonas(c, kappa).predict(prior, data, beta)
    return jnp.exp(after.log_weights), jnp.exp(after.components.answers)


learn = jax.jit(_learn, static_argnums=(0, 1))


def counts(data):
    """Answers by topic (topics, answers), by hand."""
    found = np.zeros((TOPICS, 2))
    for document in np.asarray(data.tokens):
        for topic, answer in document.reshape(-1, 2):
            found[topic, answer - TOPICS] += 1
    return found


def before(process):
    return np.exp(np.asarray(process.log_weights, float)), np.exp(
        np.asarray(process.components.answers, float)
    )


@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_tables_that_hold_are_the_exchangeable_mixture(process, data, beta):
    weights, tables = learn(1e7, 2.0, process, data, beta)
    wanted = np.exp(ExchangeableMixture(concentration=2.0).predict(process, data, beta).log_weights)
    np.testing.assert_allclose(weights, wanted, atol=1e-5)
    np.testing.assert_allclose(tables, before(process)[1], atol=1e-5)


def test_tables_that_give_way_memorise_the_data_and_nothing_else_moves(process, data):
    weights, tables = learn(1e-6, 1.0, process, data, 1.0)
    prior, old = before(process)
    np.testing.assert_allclose(weights, prior, atol=1e-4)
    frequencies = counts(data)[:2] / counts(data)[:2].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tables[:, :2], np.broadcast_to(frequencies, (3, 2, 2)), atol=1e-4)
    np.testing.assert_allclose(tables[:, 2], old[:, 2], rtol=1e-5)
    assert np.abs(old[:, :2] - frequencies).max() > 0.2


def test_a_persona_for_sure_has_the_conjugate_mean(process, data):
    """All prior on one persona: its tables are Dirichlet(c m), and D' adds its counts."""
    alone = process.with_log_weights(jnp.asarray([-jnp.inf, 0.0, -jnp.inf]))
    weights, tables = learn(4.0, 1.0, alone, data, 0.5)
    np.testing.assert_array_equal(weights, [0, 1, 0])
    pseudo = 4 * before(process)[1] + 0.5 * counts(data)
    np.testing.assert_allclose(tables[1], (pseudo / pseudo.sum(axis=-1, keepdims=True))[1], rtol=1e-5)


def test_weights_and_tables_solve_both_equations(process, data):
    c, kappa, beta, n = 5.0, 2.0, 0.7, 8
    weights, tables = (np.asarray(values, float) for values in learn(c, kappa, process, data, beta))
    prior, old = before(process)
    chance = np.array(
        [
            [np.prod(table[row[::2], row[1::2] - TOPICS]) for table in tables]
            for row in np.asarray(data.tokens)
        ]
    )
    shares = weights * chance
    shares = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(weights, (kappa * prior + beta * n * shares) / (kappa + beta * n), rtol=1e-4)
    pseudo = c * old + beta * shares[:, None, None] * counts(data)
    np.testing.assert_allclose(tables, pseudo / pseudo.sum(axis=-1, keepdims=True), rtol=1e-4)
    assert np.abs(weights - prior).max() > 0.1 and np.abs(tables - old).max() > 0.05


def test_only_topics_that_are_asked_leave_the_hull(process):
    """Topic 0, always answered as no persona does; topics 1 and 2 never asked."""
    rows = jnp.tile(jnp.asarray([0, 4, 0, 4]), (8, 1))
    always = Dataset(rows, jnp.tile(jnp.asarray([False, True]), (8, 2)))
    weights, tables = learn(1.0, 1.0, process, always, 1.0)
    answers = np.einsum("z,zka->ka", weights, tables)[:, 1]
    lowest, highest = before(process)[1][..., 1].min(axis=0), before(process)[1][..., 1].max(axis=0)
    assert answers[0] > highest[0] + 0.1
    assert (answers[1:] <= highest[1:] + 1e-6).all() and (answers[1:] >= lowest[1:] - 1e-6).all()


def enumerated(process, data, c, kappa):
    """First answers (topics, answers), by all ways in which personas wrote the documents."""
    prior, old = before(process)
    each = np.stack([counts(Dataset(row[None], None)) for row in np.asarray(data.tokens)])
    chances, answers = [], []
    for writers in product(range(3), repeat=len(each)):
        wrote = np.eye(3)[list(writers)]
        by_persona = c * old + np.einsum("nz,nka->zka", wrote, each)
        weights = kappa * prior + wrote.sum(axis=0)
        chance = gammaln(weights).sum() + gammaln(by_persona).sum() - gammaln(by_persona.sum(axis=-1)).sum()
        chances.append(chance)
        tables = by_persona / by_persona.sum(axis=-1, keepdims=True)
        answers.append(np.einsum("z,zka->ka", weights / weights.sum(), tables))
    chances = np.exp(np.array(chances) - max(chances))
    return np.einsum("w,wka->ka", chances / chances.sum(), np.array(answers))


@pytest.mark.parametrize(("c", "kappa", "off"), [(1.0, 1.0, 0.015), (10.0, 1.0, 0.007), (3.0, 10.0, 0.016)])
def test_first_answers_are_near_those_of_exact_bayes(process, data, c, kappa, off):
    """Six documents; the errors that the theory page states."""
    few = Dataset(data.tokens[:6], data.mask[:6])
    wanted = enumerated(process, few, c, kappa)
    answers = np.einsum("z,zka->ka", *learn(c, kappa, process, few, 1.0))
    assert np.abs(answers - wanted).max() < off
    assert np.abs(wanted - np.einsum("z,zka->ka", *before(process))).max() > 0.2
    np.testing.assert_allclose(answers[2], wanted[2], atol=1e-6)  # never asked, and answered by all alike


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Posterior:
    """The hierarchical posterior as a network whose only weight is β; D' was written in `shares`."""

    process: Mixture
    counts: jax.Array
    shares: jax.Array
    c: float
    kappa: float
    params: jax.Array

    @property
    def learnt(self):
        before, old = jnp.exp(self.process.log_weights), jnp.exp(self.process.components.answers)
        beta = self.params
        weights = (self.kappa * before + beta * 8 * self.shares) / (self.kappa + 8 * beta)
        pseudo = self.c * old + beta * self.shares[:, None, None] * self.counts
        return weights, pseudo / pseudo.sum(axis=-1, keepdims=True)

    def predict(self, tokens):
        weights, tables = self.learnt
        components = replace(self.process.components, answers=jnp.log(tables))
        after = replace(self.process, components=components)
        after = after.with_log_weights(jnp.log(weights))
        belief = jax.nn.log_softmax(after.log_weights[:, None, None] + after.evidence(tokens), axis=0)
        finite = jnp.maximum(after.component_log_probs(tokens), -1e3)  # of -inf there is no gradient
        return jax.nn.logsumexp(belief[..., None] + finite, axis=0)

    def with_params(self, params):
        return replace(self, params=params)


def posterior(process, data, c, kappa):
    beliefs = process.log_weights[:, None] + process.log_likelihoods(
        Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
    )
    shares = jax.nn.softmax(beliefs, axis=0).mean(axis=1)
    return Posterior(process, jnp.asarray(counts(data)), shares, c, kappa, jnp.asarray(0.0))


def test_the_first_steps_of_the_posterior_itself_tell_its_c_and_its_rate(process, data):
    """Small c and large ones; where tables hold, the largest."""
    theory = HierarchicalPersonas(None, 2.0)

    @jax.jit
    def told(c):
        network = posterior(process, data, c, 2.0)
        found = theory.complete(Setting(process, network, data, data, jax.random.key(0)))
        speed = -jax.grad(lambda beta: mean_loss(network.with_params(beta), data))(network.params)
        return found.table_concentration, theory.rate(process, network, data), speed

    for c in (0.5, 5.0, 200.0):
        found, rate, speed = told(c)
        np.testing.assert_allclose(found, c, rtol=2e-3)
        np.testing.assert_allclose(rate, speed, rtol=2e-3)
    assert told(1e12)[0] > MOST / 100


def test_the_posterior_as_a_network_moves_as_the_theory_does(process, data):
    """To first order in β, which is what its first steps are."""
    small = jnp.asarray(1e-3)
    wanted = posterior(process, data, 5.0, 2.0).with_params(small).learnt
    for found, part, start in zip(
        learn(5.0, 2.0, process, data, small), wanted, before(process), strict=True
    ):
        np.testing.assert_allclose(found, part, atol=2e-5)
        assert np.abs(part - start).max() > 1e-4


def test_c_of_the_first_steps_is_found_before_anything_is_predicted(process, data, bigram):
    with pytest.raises(Misuse, match="first steps of a network on D'; call complete"):
        HierarchicalPersonas(None).predict(process, data, 1.0)
    given = HierarchicalPersonas(3.0)
    assert given.complete(Setting(process, bigram, data, data, jax.random.key(0))) is given
    assert given.rate(process, bigram, data) is None


def test_a_candidate_for_c_is_the_theory_at_that_c():
    fitted = variants(example())["hierarchical-fitted"]
    assert fitted.hyperparameters.tolist() == np.float32(FITTED).tolist() and FITTED[-1] == MOST
    assert fitted.with_hyperparameter(3.0) == HierarchicalPersonas(3.0)
    assert HierarchicalPersonas().hyperparameters is None


def test_bad_settings_are_refused(data):
    for bad in (0.0, -1.0, np.nan, np.inf):
        for name in ("table_concentration", "concentration"):
            with pytest.raises(Misuse, match=f"^{name} must be finite and above 0, got {bad}"):
                HierarchicalPersonas(**{name: bad})
        with pytest.raises(Misuse, match=f"^a candidate for c must be finite and above 0, got {bad}"):
            HierarchicalPersonas(candidates=(1.0, bad))
    process = domains()
    with pytest.raises(Misuse, match="tables of answers to topics, got Sector; use exchangeable-mixture"):
        HierarchicalPersonas().predict(process.distribution(), process.narrow(jax.random.key(0), 2), 1.0)


def test_it_is_a_form_where_hypotheses_are_tables():
    forms = ["hierarchical-personas", "hierarchical-first-steps", "hierarchical-fitted"]
    assert list(variants(example())) == forms == list(variants(wordings()))
    assert variants(domains()) == {}
