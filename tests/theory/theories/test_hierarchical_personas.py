"""Weights and tables together: limits, the conjugate case, and enumeration of the writers of documents."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from theory.base import Dataset, Misuse
from theory.processes.persona_domain import example as domains
from theory.processes.persona_topics import example
from theory.processes.wordings import example as wordings
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.hierarchical_personas import HierarchicalPersonas, variants

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


def test_bad_settings_are_refused(data):
    for bad in (0.0, -1.0, np.nan, np.inf):
        for name in ("table_concentration", "concentration"):
            with pytest.raises(Misuse, match=f"^{name} must be finite and above 0, got {bad}"):
                HierarchicalPersonas(**{name: bad})
    process = domains()
    with pytest.raises(Misuse, match="tables of answers to topics, got Sector; use exchangeable-mixture"):
        HierarchicalPersonas().predict(process.distribution(), process.narrow(jax.random.key(0), 2), 1.0)


def test_it_is_a_form_where_hypotheses_are_tables():
    assert list(variants(example())) == ["hierarchical-personas"] == list(variants(wordings()))
    assert variants(domains()) == {}
