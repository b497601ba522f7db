"""The localised posterior as a NumPyro model: against a formula in numpy, minibatches, samplers."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import Laplace, Normal
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.util import log_density

from models.network import build, first
from models.transformer import Architecture
from tests.theory.tiny_networks import StartedBigram
from theory.base import Dataset, Misuse
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.sgld import SGLD
from theory.weights.gibbs import Posterior

QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run
RNG = np.random.default_rng(3)
BASE = {"start": RNG.normal(size=3), "table": RNG.normal(size=(3, 3))}
METRIC = {"start": RNG.uniform(0.5, 2, size=3), "table": RNG.uniform(0.5, 2, size=(3, 3))}
BIGRAM = StartedBigram(jax.tree.map(jnp.asarray, BASE))


def documents(n, seed):
    stream = np.random.default_rng(seed)
    return Dataset(jnp.asarray(stream.integers(0, 3, (n, 4))), jnp.asarray(stream.random((n, 4)) < 0.7))


DATA, REPLAY = documents(4, 0), documents(3, 1)


def log_likelihoods(weights, data):
    """Σ over counted positions of log p(x_t | x_<t) of each document, one term after the other."""
    log_joint = []
    for tokens, mask in zip(np.asarray(data.tokens), np.asarray(data.mask), strict=True):
        total = 0.0
        for position, token in enumerate(tokens):
            logits = weights["table"][tokens[position - 1]] if position else weights["start"]
            if mask[position]:
                total += logits[token] - np.log(np.exp(logits).sum())
        log_joint.append(total)
    return np.array(log_joint)


def distance(weights, metric=METRIC):
    return sum(np.sum(metric[name] * (weights[name] - BASE[name]) ** 2) for name in BASE)


def potential(weights, beta=0.0, gamma=1.0, alpha=0.0, metric=METRIC):
    """-log density but for what does not depend on the weights."""
    value = gamma / 2 * distance(weights, metric) - beta * log_likelihoods(weights, DATA).sum()
    return value - alpha * log_likelihoods(weights, REPLAY).sum()


PLACES = [{name: leaf + RNG.normal(size=leaf.shape) for name, leaf in BASE.items()} for _ in range(3)]
METRIC_JAX = jax.tree.map(jnp.asarray, METRIC)


def log_joint(posterior, weights):
    return -log_density(posterior, (), {}, jax.tree.map(jnp.asarray, weights))[0]


@pytest.mark.parametrize(
    ("beta", "gamma", "alpha", "metric"),
    [(0.7, 2.0, 0.0, METRIC), (1.3, 0.4, 0.6, METRIC), (0.5, 1.5, 0.25, None), (0.0, 3.0, 0.0, METRIC)],
)
def test_the_density_is_the_formula(beta, gamma, alpha, metric):
    posterior = Posterior(BIGRAM, DATA, beta, gamma, None if metric is None else METRIC_JAX, alpha, REPLAY)
    ones = jax.tree.map(np.ones_like, BASE)
    wanted = [potential(place, beta, gamma, alpha, metric or ones) for place in (BASE, *PLACES)]
    density = jax.jit(lambda weights: log_joint(posterior, weights), compiler_options=QUICK)
    got = [density(place) for place in (BASE, *PLACES)]
    np.testing.assert_allclose(np.diff(got), np.diff(wanted), rtol=1e-5, atol=1e-5)
    assert np.abs(np.diff(wanted)).min() > 0.05


def test_strengths_may_be_traced():
    """One program for every β, γ and α, zero included."""

    @jax.jit
    def energies(beta, gamma, alpha):
        posterior = Posterior(BIGRAM, DATA, beta, gamma, METRIC_JAX, alpha, REPLAY)
        return jnp.stack([log_joint(posterior, place) for place in PLACES[:2]])

    for strengths in ((0.0, 1.0, 0.0), (0.8, 2.5, 0.0), (0.3, 0.1, 1.7)):
        wanted = [potential(place, *strengths) for place in PLACES[:2]]
        np.testing.assert_allclose(np.diff(energies(*strengths)), np.diff(wanted), rtol=1e-5, atol=1e-5)


def test_minibatches_are_unbiased_by_enumeration():
    """Every pair of D' with every pair of the replayed documents, scaled up, as often as any other."""
    beta, gamma, alpha, place = 0.9, 1.5, 0.4, PLACES[0]
    posterior = Posterior(BIGRAM, DATA, beta, gamma, METRIC_JAX, alpha, REPLAY, batch=2)
    energy = SGLD(posterior).potential(whole=False)
    whole = SGLD(posterior).potential(whole=True)
    spot, base = (jax.tree.map(jnp.asarray, weights) for weights in (place, BASE))
    keys = jax.random.split(jax.random.key(0), 3000)
    values = np.asarray(jax.jit(jax.vmap(energy, (None, 0)))(spot, keys), float)
    constant = float(whole(base, None)) - potential(BASE, beta, gamma, alpha)
    new, old = log_likelihoods(place, DATA), log_likelihoods(place, REPLAY)
    kinds = [
        constant + gamma / 2 * distance(place)
        - beta * 4 / 2 * new[list(mine)].sum() - alpha * 3 / 2 * old[list(theirs)].sum()
        for mine in itertools.combinations(range(4), 2) for theirs in itertools.combinations(range(3), 2)
    ]  # fmt: skip
    np.testing.assert_allclose(np.mean(kinds), whole(spot, None), rtol=1e-5)
    nearest = np.argmin(np.abs(values[:, None] - np.array(kinds)), axis=1)
    np.testing.assert_allclose(values, np.array(kinds)[nearest], atol=1e-4)
    assert np.diff(np.sort(kinds)).min() > 1e-3
    counts = np.bincount(nearest, minlength=18)
    statistic = np.sum((counts - 3000 / 18) ** 2 / (3000 / 18))
    assert statistic < 17 + 4 * np.sqrt(2 * 17)


def test_a_batch_of_all_documents_is_the_whole():
    posterior = Posterior(BIGRAM, DATA, 0.9, batch=4)
    energy = SGLD(posterior).potential(whole=False)
    spot = jax.tree.map(jnp.asarray, PLACES[0])
    values = [energy(spot, jax.random.key(seed)) for seed in range(3)]
    np.testing.assert_allclose(values, SGLD(posterior).potential(whole=True)(spot, None), rtol=1e-6)


def test_strength_zero_is_the_gaussian_prior():
    """Draws of the model: mean w0, variance 1/(γΛ), nothing correlated."""
    posterior = Posterior(BIGRAM, DATA, 0.0, 4.0, METRIC_JAX)
    samples = jax.jit(lambda key: Predictive(posterior, num_samples=20000)(key))(jax.random.key(0))
    flat = np.concatenate(
        [np.asarray(samples[name], float).reshape(20000, -1) for name in posterior.weights()], 1
    )
    base, metric = (np.concatenate([np.ravel(tree[name]) for name in BASE]) for tree in (BASE, METRIC))
    unit = (flat - base) * np.sqrt(4.0 * metric)
    assert np.abs(unit.mean(axis=0)).max() < 4 / np.sqrt(20000)
    covariance = unit.T @ unit / 20000
    assert np.abs(covariance - np.eye(12)).max() < 4 * np.sqrt(2 / 20000)  # metrics differ by far more


def test_every_weight_has_a_site():
    posterior = Posterior(BIGRAM, DATA, 1.0, 4.0, METRIC_JAX)
    sites = posterior.weights()
    assert list(sites) == ["start", "table"]
    drawn = {name: leaf + 1 for name, leaf in reversed(sites.items())}
    back = posterior.params(drawn)
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new, old + 1), back, BIGRAM.params)
    wanted = jax.tree.map(lambda leaf: (4.0 * leaf) ** -0.5, METRIC)
    jax.tree.map(
        lambda got, leaf: np.testing.assert_allclose(got, leaf, rtol=1e-6), posterior.scale(), wanted
    )


def test_another_prior_takes_the_place_of_the_gaussian():
    def prior(name, shape):
        return {"start": Laplace(jnp.zeros(shape), 0.5), "table": Normal(jnp.ones(shape), 2.0)}[
            name
        ].to_event()

    posterior = Posterior(BIGRAM, DATA, 0.5, prior=prior)
    wanted = [
        np.abs(place["start"]).sum() / 0.5 + np.sum((place["table"] - 1) ** 2) / 8
        - 0.5 * log_likelihoods(place, DATA).sum()
        for place in PLACES
    ]  # fmt: skip
    np.testing.assert_allclose(
        np.diff([log_joint(posterior, place) for place in PLACES]), np.diff(wanted), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("prior", "given"),
    [
        (lambda name, shape: None if name == "table" else Normal(jnp.zeros(shape)).to_event(), "None"),
        (lambda name, shape: Normal(0.0, 1.0), r"\(\)"),
    ],
)
def test_a_prior_that_leaves_a_weight_out_is_refused(prior, given):
    posterior = Posterior(BIGRAM, DATA, 0.5, prior=prior)
    with pytest.raises(Misuse, match=f"The prior must give a distribution of shape .* got {given}"):
        log_joint(posterior, BASE)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"beta": -0.5}, "strength beta must be finite and at least 0, got -0.5"),
        ({"gamma": -1.0}, "gamma must be finite and above 0, got -1.0"),
        ({"gamma": 0.0}, "gamma must be finite and above 0, got 0.0"),
        ({"gamma": np.nan}, "gamma must be finite and above 0, got nan"),
        ({"alpha": -0.1, "replay": REPLAY}, "alpha must be finite and at least 0, got -0.1"),
        ({"alpha": 0.2}, "alpha = 0.2 replays pretraining documents; pass them as replay"),
        ({"batch": 0}, "batch must be from 1 to the 4 documents of D', got 0"),
        ({"batch": 5}, "batch must be from 1 to the 4 documents of D', got 5"),
        ({"batch": 4, "replay": REPLAY}, "batch must be from 1 to the 3 documents of replay, got 4"),
        ({"metric": {"start": jnp.ones(3)}}, r"an entry for every weight; it does not fit at .*table"),
        ({"metric": {**METRIC_JAX, "start": jnp.ones(2)}}, r"an entry for every weight; .*start"),
        ({"metric": {**METRIC_JAX, "more": jnp.ones(2)}}, "an entry for every weight; .*extra"),
        ({"metric": {**METRIC_JAX, "start": jnp.array([1.0, 0.0, 1.0])}}, "positive and finite .*start"),
        ({"metric": {**METRIC_JAX, "start": jnp.array([1.0, np.inf, 1.0])}}, "positive and finite .*start"),
    ],
)  # fmt: skip
def test_misuse_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        Posterior(BIGRAM, DATA, **{"beta": 1.0, **wrong})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Line:
    """log p(token) = -½ (x_token · w - y_token)²: a regression, a Gaussian posterior."""

    params: Any

    def predict(self, tokens):
        value = -0.5 * (jnp.asarray(INPUTS) @ self.params["w"] - jnp.asarray(TARGETS)) ** 2
        return jnp.broadcast_to(value, (*tokens.shape, 3))

    def with_params(self, params):
        return replace(self, params=params)


INPUTS = np.array([[1.0, 0.5], [-0.3, 1.2], [0.8, -0.9]])
TARGETS = np.array([1.0, -0.5, 2.0])
LINE = Line({"w": jnp.asarray([0.2, -0.4])})


@pytest.mark.slow
@pytest.mark.parametrize("which", ["nuts", "harmonic"])
def test_samplers_of_numpyro_and_ours_find_the_exact_posterior(which):
    beta, gamma = 0.4, 2.0
    posterior = Posterior(LINE, DATA, beta, gamma)
    rows = np.asarray(DATA.tokens)[np.asarray(DATA.mask)]
    x, y = INPUTS[rows], TARGETS[rows]
    precision = beta * x.T @ x + gamma * np.eye(2)
    mean = np.linalg.solve(precision, beta * x.T @ y + gamma * np.array([0.2, -0.4]))
    if which == "nuts":
        kernel, warmup, samples = NUTS(posterior, max_tree_depth=4), 100, 150
    else:
        kernel, warmup, samples = (
            HarmonicLangevin(posterior, step_size=0.5, scale=posterior.scale()),
            60,
            1000,
        )
    mcmc = MCMC(
        kernel, num_warmup=warmup, num_samples=samples, num_chains=60, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    start = jnp.broadcast_to(LINE.params["w"], (60, 2))
    mcmc.run(jax.random.key(0), init_params={"w": start})
    w = np.asarray(mcmc.get_samples(group_by_chain=True)["w"], float)
    centred = w - mean
    for got, wanted, wrong in (
        (w.mean(axis=1), mean, [0.2, -0.4]),
        (np.einsum("csi,csj->cij", centred, centred) / samples, np.linalg.inv(precision), np.eye(2) / gamma),
    ):
        error = got.std(axis=0, ddof=1) / np.sqrt(60)
        assert (np.abs(got.mean(axis=0) - wanted) < 4 * error).all()
        assert (np.abs(got.mean(axis=0) - wrong) > 8 * error).any()


@pytest.mark.slow
def test_a_transformer_has_the_posterior_of_the_formula():
    network = first(build(Architecture(width=8, layers=1, heads=2), 3, 4, [0]))
    posterior = Posterior(network, DATA, 0.7, 2.0)
    sites = posterior.weights()
    assert len(sites) == len(jax.tree.leaves(network.params)) > 5
    assert sum(leaf.size for leaf in sites.values()) == network.size
    back = posterior.params(sites)
    assert jax.tree.structure(back) == jax.tree.structure(network.params)
    jax.tree.map(np.testing.assert_array_equal, back, network.params)
    moved = {
        name: leaf + 0.1 * jax.random.normal(jax.random.key(row), leaf.shape)
        for row, (name, leaf) in enumerate(sites.items())
    }

    network_at = lambda weights: network.with_params(posterior.params(weights))  # noqa: E731
    predict = jax.jit(lambda weights: network_at(weights).predict(DATA.tokens), compiler_options=QUICK)

    def formula(weights):
        log_probs = np.asarray(predict(weights), float)
        chosen = np.take_along_axis(log_probs, np.asarray(DATA.tokens)[..., None], axis=-1)[..., 0]
        far = sum(np.sum((np.asarray(weights[name], float) - np.asarray(sites[name])) ** 2) for name in sites)
        return -0.7 * chosen[np.asarray(DATA.mask)].sum() + far

    energy = jax.jit(
        jax.value_and_grad(lambda weights: log_joint(posterior, weights)), compiler_options=QUICK
    )

    (low, _), (high, gradient) = energy(sites), energy(moved)
    np.testing.assert_allclose(high - low, formula(moved) - formula(sites), rtol=1e-4)
    assert all(bool(jnp.any(leaf != 0)) for leaf in gradient.values())
