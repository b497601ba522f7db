"""The mixture and the average against sums written out in numpy, on members with memory."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Distribution, Misuse, Parametric
from theory.latent.mixture import Average, Mixture, Uninformed

LENGTH, VOCABULARY, MEMBERS = 4, 3, 3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chain:
    """A Markov chain of fixed length: row v of the table starts it."""

    table: Any

    def predict(self, tokens):
        start = self.table.shape[-1]
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=start)
        return self.table[before]

    def sample(self, key, n):
        token, tokens = jnp.full(n, self.table.shape[-1]), []
        for step in jax.random.split(key, LENGTH):
            token = jax.random.categorical(step, self.table[token])
            tokens.append(token)
        return jnp.stack(tokens, axis=1)

    @property
    def params(self):
        return self.table

    def with_params(self, params):
        return replace(self, table=params)


RNG = np.random.default_rng(5)
TABLES = RNG.dirichlet(np.ones(VOCABULARY), size=(MEMBERS, VOCABULARY + 1))
TABLES[0, 1] = [0.4, 0.6, 0.0]  # one member holds one step for impossible
TABLES[1, 3] = [0.0, 0.5, 0.5]
WEIGHTS = np.array([0.2, 0.5, 0.3])
# log-weights need not come normalised
MIXTURE = Mixture(Chain(jnp.log(jnp.asarray(TABLES))), jnp.log(jnp.asarray(WEIGHTS)) + 1.7)
ALL = np.array(list(product(range(VOCABULARY), repeat=LENGTH)))


def likelihood(member, tokens, mask=None):
    """Π over counted positions of p(x_t | x_<t, z)."""
    before, value = VOCABULARY, 1.0
    for position, token in enumerate(tokens):
        if mask is None or mask[position]:
            value *= TABLES[member, before, token]
        before = token
    return value


JOINT = np.array([[WEIGHTS[z] * likelihood(z, x) for x in ALL] for z in range(MEMBERS)])
MASK = RNG.random((4, LENGTH)) < 0.6
DATA_TOKENS = ALL[[80, 71, 49, 44]]
DATA = Dataset(jnp.asarray(DATA_TOKENS), jnp.asarray(MASK))


def tempered(beta):
    """Weights after DATA counted β times."""
    evidence = [
        np.prod([likelihood(z, x, m) for x, m in zip(DATA_TOKENS, MASK, strict=True)]) for z in range(MEMBERS)
    ]
    weights = WEIGHTS * np.array(evidence) ** beta
    return weights / weights.sum()


def enumerated_predictor(joint):
    """p(x_t | x_<t) as ratios of marginals over all sequences, and which prefixes can happen."""
    total = joint.sum(axis=0).reshape((VOCABULARY,) * LENGTH)
    wanted = np.full((len(ALL), LENGTH, VOCABULARY), np.nan)
    for position in range(LENGTH):
        marginal = total.sum(axis=tuple(range(position + 1, LENGTH)))
        for row, tokens in enumerate(ALL):
            continued = marginal[tuple(tokens[:position])]
            if continued.sum() > 0:
                wanted[row, position] = continued / continued.sum()
    return wanted


def check_predictor(mixture, joint):
    wanted = enumerated_predictor(joint)
    got = np.exp(mixture.predict(jnp.asarray(ALL)))
    possible = ~np.isnan(wanted)
    assert possible.mean() > 0.9
    np.testing.assert_allclose(got[possible], wanted[possible], rtol=2e-5, atol=1e-7)


def test_is_a_distribution():
    assert isinstance(MIXTURE, Distribution)


def test_log_prob_is_the_enumerated_probability_and_sums_to_one():
    got = np.exp(MIXTURE.log_prob(jnp.asarray(ALL)))
    np.testing.assert_allclose(got, JOINT.sum(axis=0), rtol=2e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals():
    check_predictor(MIXTURE, JOINT)


def test_evidence_is_the_likelihood_of_what_came_before():
    got = np.exp(MIXTURE.evidence(jnp.asarray(ALL)))
    for z in range(MEMBERS):
        for position in range(LENGTH):
            wanted = [likelihood(z, tokens[:position]) for tokens in ALL]
            np.testing.assert_allclose(got[z, :, position], wanted, rtol=1e-5, atol=1e-9)


def test_log_likelihoods_count_the_mask():
    wanted = [[likelihood(z, x, m) for x, m in zip(DATA_TOKENS, MASK, strict=True)] for z in range(MEMBERS)]
    np.testing.assert_allclose(np.exp(MIXTURE.log_likelihoods(DATA)), wanted, rtol=1e-5)


def test_posterior_is_bayes():
    rows = JOINT.sum(axis=0) > 0
    wanted = (JOINT / JOINT.sum(axis=0, where=rows, initial=1e-300)).T
    got = np.exp(MIXTURE.posterior(jnp.asarray(ALL[rows])))
    np.testing.assert_allclose(got, wanted[rows], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 2.5])
def test_conditioning_tempers_the_weights_and_the_predictor(beta):
    conditioned = MIXTURE.condition(DATA, beta)
    weights = tempered(beta)
    assert beta == 0 or np.abs(weights - WEIGHTS).max() > 0.02
    np.testing.assert_allclose(np.exp(conditioned.log_weights), weights, rtol=2e-5)
    check_predictor(conditioned, JOINT / WEIGHTS[:, None] * weights[:, None])


def test_one_more_sequence_at_strength_one_is_bayes():
    """condition(x, 1) on whole sequences, one after the other, is the posterior given them all."""
    whole = Dataset(DATA.tokens, jnp.ones_like(DATA.mask))
    parts = MIXTURE
    for row in range(4):
        parts = parts.condition(Dataset(whole.tokens[row : row + 1], whole.mask[row : row + 1]), 1)
    np.testing.assert_allclose(
        parts.log_weights, MIXTURE.condition(whole, 1).log_weights, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("beta", [-1.0, np.nan, np.inf])
def test_conditioning_refuses_a_bad_strength(beta):
    with pytest.raises(Misuse):
        MIXTURE.condition(DATA, beta)


def test_new_weights_are_normalised_and_keep_the_rest():
    fresh = Mixture(MIXTURE.components, MIXTURE.log_weights, (3,)).with_log_weights(jnp.arange(3.0))
    wanted = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    np.testing.assert_allclose(np.exp(fresh.log_weights), wanted, rtol=1e-6)
    assert fresh.factors == (3,)
    assert fresh.components is MIXTURE.components


def test_a_member_predicts_alone():
    for z in range(MEMBERS):
        got = np.exp(MIXTURE.component(z).predict(jnp.asarray(ALL)))
        before = np.pad(ALL[:, :-1], ((0, 0), (1, 0)), constant_values=VOCABULARY)
        np.testing.assert_allclose(got, TABLES[z, before], rtol=1e-6)


def test_uninformed_keeps_the_prior_weights_whatever_the_context():
    before = np.pad(ALL[:, :-1], ((0, 0), (1, 0)), constant_values=VOCABULARY)
    wanted = np.einsum("z,zntv->ntv", WEIGHTS, TABLES[:, before])
    np.testing.assert_allclose(np.exp(Uninformed(MIXTURE).predict(jnp.asarray(ALL))), wanted, rtol=1e-5)


def test_samples_come_as_often_as_enumerated():
    n = 20_000
    tokens = np.asarray(jax.jit(MIXTURE.sample, static_argnums=1)(jax.random.key(1), n))
    index = tokens @ VOCABULARY ** np.arange(LENGTH - 1, -1, -1)
    counts = np.bincount(index, minlength=len(ALL))
    exact = JOINT.sum(axis=0)
    assert (counts[exact == 0] == 0).all()
    likely = exact > 5 / n
    pooled = np.append(exact[likely], exact[~likely].sum())
    seen = np.append(counts[likely], counts[~likely].sum())
    pooled, seen = pooled[pooled > 0], seen[pooled > 0]
    statistic = np.sum((seen - n * pooled) ** 2 / (n * pooled))
    freedom = len(pooled) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)


AVERAGE = Average(MIXTURE.components)


def test_an_average_is_the_mean_probability():
    """Position by position, tokens that a member holds for impossible included."""
    before = np.pad(ALL[:, :-1], ((0, 0), (1, 0)), constant_values=VOCABULARY)
    wanted = np.mean([TABLES[z, before] for z in range(MEMBERS)], axis=0)
    np.testing.assert_allclose(np.exp(AVERAGE.predict(jnp.asarray(ALL))), wanted, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(wanted.sum(axis=-1), 1)


def test_what_no_member_holds_for_possible_stays_impossible():
    never = np.tile([[0.25, 0.75, 0.0]], (MEMBERS, VOCABULARY + 1, 1))
    got = Average(Chain(jnp.log(jnp.asarray(never)))).predict(jnp.asarray(ALL))
    assert np.isneginf(got[..., 2]).all()
    np.testing.assert_allclose(np.exp(got[..., 0]), 0.25, rtol=1e-6)


def test_an_average_takes_no_context_for_evidence():
    """It agrees with the even mixture at the start, and only there."""
    even = MIXTURE.with_log_weights(jnp.zeros(MEMBERS))
    average, mixture = (np.exp(one.predict(jnp.asarray(ALL))) for one in (AVERAGE, even))
    np.testing.assert_allclose(average[:, 0], mixture[:, 0], rtol=1e-5)
    gap = np.nanmax(np.abs(average - mixture), axis=(0, 2))
    assert gap[0] < 1e-6 < 0.05 < gap[1:].min()


def test_the_weights_of_an_average_are_its_members():
    assert isinstance(AVERAGE, Parametric)
    np.testing.assert_array_equal(AVERAGE.params, MIXTURE.components.table)
    back = AVERAGE.with_params(AVERAGE.params)
    np.testing.assert_array_equal(back.predict(jnp.asarray(ALL)), AVERAGE.predict(jnp.asarray(ALL)))
    one = AVERAGE.with_params(AVERAGE.params[1:2])
    alone = MIXTURE.component(1).predict(jnp.asarray(ALL))
    np.testing.assert_allclose(np.exp(one.predict(jnp.asarray(ALL))), np.exp(alone), rtol=1e-6)


def test_averages_are_mapped_and_differentiated():
    """A stack of averages is an average of stacks; slopes are finite where members differ."""
    tokens = jnp.asarray(ALL)
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, jnp.roll(leaf, 1, axis=1)]), AVERAGE)
    told = jax.vmap(lambda average: average.predict(tokens))(stack)
    np.testing.assert_allclose(np.exp(told[0]), np.exp(AVERAGE.predict(tokens)), rtol=1e-6)
    tables = jnp.log(jnp.asarray(np.maximum(TABLES, 1e-3)))
    value = lambda params: jnp.sum(AVERAGE.with_params(params).predict(tokens)[:, 1, 0])  # noqa: E731
    slope, step = jax.jit(jax.grad(value))(tables), 1e-2
    bump = jnp.zeros_like(tables).at[1, 2, 0].set(step)
    temperature = (value(tables + bump) - value(tables - bump)) / (2 * step)
    assert np.isfinite(slope).all() and abs(temperature) > 1
    np.testing.assert_allclose(slope[1, 2, 0], temperature, rtol=1e-2)


def test_much_data_that_says_nothing_leaves_the_prior_exactly():
    """Thousands of nats that all members share must not cost the prior its last digits."""
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2000, 6)))
    data = Dataset(tokens, jnp.ones(tokens.shape, bool))
    alike = jnp.log(jnp.full((MEMBERS, VOCABULARY + 1, VOCABULARY), 1 / VOCABULARY))
    told = Mixture(Chain(alike), jnp.log(jnp.asarray([0.7, 0.2, 0.1]))).condition(data, 1.0)
    np.testing.assert_allclose(np.exp(told.log_weights), [0.7, 0.2, 0.1], rtol=1e-6)
