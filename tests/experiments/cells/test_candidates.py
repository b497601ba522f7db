"""Contenders: every name is a theory's, and every theory over weights runs and starts at the base network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import discovery as study
from experiments.cells.candidates import ALL, MIXTURES, WEIGHTED, mixtures, paths
from experiments.scoring.rows import REPLAYED
from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset
from theory.processes.persona_topics import example
from theory.processes.presidents import Presidents
from theory.processes.urns import Urns

PROCESS = example()
NETWORK = first(build(Architecture(8, 1, 2), PROCESS.vocabulary, PROCESS.length, [0]))
TOKENS = PROCESS.distribution().sample(jax.random.key(0), 6)
DATA = Dataset(TOKENS, jnp.ones(TOKENS.shape, bool))


def test_names_are_those_of_theories():
    known = {entry["name"] for entry in study.catalogue()["theories"]}
    assert set(ALL) <= known
    weighted = {each.theory for each in WEIGHTED}
    # `linearised`, the first of those that replay a method, is always heard
    assert set(ALL) == {*MIXTURES, *paths(PROCESS.distribution()), *weighted, *REPLAYED[1:]}
    names = [(each.theory, each.prior) for each in WEIGHTED]
    assert len(set(names)) == len(names)


def test_the_complexity_prior_weighs_the_predictors_that_a_process_names():
    for process, parts in ((PROCESS, None), (Urns(urns=2), (0, 0, 1))):
        found = mixtures(process)
        assert set(found) == set(MIXTURES)
        assert found["complexity-prior"][0].predictors == parts
        assert found["complexity-prior"][0].description_lengths is None


def test_the_complexity_prior_is_told_description_lengths_where_members_have_them():
    process = Presidents()
    theory = mixtures(process)["complexity-prior"][0]
    np.testing.assert_allclose(theory.description_lengths, process.description_lengths())
    assert theory.exponent == 1.0 != process.exponent
    after = theory.predict(process.distribution(), process.narrow(jax.random.key(0), 2, 1, (3, 4, 5, 8)), 0.0)
    bits = -np.asarray(after.log_weights) / np.log(2)
    np.testing.assert_allclose(bits - bits[0], process.description_lengths() - 5, atol=1e-4)


@pytest.mark.parametrize("each", WEIGHTED, ids=lambda each: f"{each.theory}-{each.prior}")
def test_a_theory_over_weights_moves_from_the_base_network(each):
    times = each.times()
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert each.clock in ("", "identity", "adam")

    @jax.jit
    def answers(beta):
        key = jax.random.key(1)
        theory = each.make(NETWORK, DATA, DATA, key)
        return theory.predict(each.prepared(NETWORK), DATA, beta * each.prior_precision, key=key).predict(
            TOKENS
        )

    start, moved = (np.exp(answers(beta)) for beta in (0.0, 0.01))
    np.testing.assert_allclose(start, np.exp(NETWORK.predict(TOKENS)), atol=3e-3)  # the warm ones vary
    assert np.isfinite(moved).all()
    assert np.abs(moved - start).max() > 1e-5
