"""The sampled localised posterior against exact Gaussians, and its zero-temperature limit."""

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, Misuse, log_likelihood
from theory.latent.mixture import Average
from theory.mcmc.chains import Plan, mean, trace
from theory.theories.langevin_posterior import LangevinPosterior
from theory.theories.proximal import Proximal
from theory.weights.diagonal_metrics import fisher

QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Line:
    """log p(token) = -½ (x_token · w - y_token)²: a regression; its posterior is a Gaussian."""

    params: Any
    inputs: Any = field(metadata={"static": True}, default=((1.0, 0.5), (-0.6, 1.2), (0.8, -0.9)))
    targets: Any = field(metadata={"static": True}, default=(1.0, -0.5, 2.0))

    def predict(self, tokens):
        miss = jnp.asarray(self.inputs) @ self.params["w"] - jnp.asarray(self.targets)
        return jnp.broadcast_to(-0.5 * miss**2, (*tokens.shape, 3))

    def with_params(self, params):
        return replace(self, params=params)


def documents(n, seed):
    stream = np.random.default_rng(seed)
    return Dataset(jnp.asarray(stream.integers(0, 3, (n, 3))), jnp.asarray(stream.random((n, 3)) < 0.7))


START, METRIC = np.array([0.4, -0.6]), np.array([0.5, 2.0])
LINE, DATA, REPLAY = Line({"w": jnp.asarray(START)}), documents(6, 0), documents(5, 1)


def exact(beta, gamma, metric=(1.0, 1.0), alpha=0.0):
    """Mean and covariance of the posterior of `Line`."""
    precision = gamma * np.diag(metric)
    pull = precision @ START
    for strength, data in ((beta, DATA), (alpha, REPLAY)):
        rows = np.asarray(data.tokens)[np.asarray(data.mask)]
        x, y = np.array(LINE.inputs)[rows], np.array(LINE.targets)[rows]
        precision, pull = precision + strength * x.T @ x, pull + strength * x.T @ y
    return np.linalg.solve(precision, pull), np.linalg.inv(precision)


def samples(theory, prior, data, beta, chains, read, stream=trace):
    """What a stream of `read(weights)` makes of each of many independent chains."""
    posterior = theory.posterior(prior, data, beta)
    of = {"answers": stream(lambda state: read(posterior.params(state.z)))}
    program = jax.vmap(lambda key: theory.chain(posterior, key, of)["answers"])
    return jax.jit(program)(jax.random.split(jax.random.key(0), chains))


def agree(values, truth, against=()):
    """The mean over chains is `truth` within 4 standard errors, each of `against` beyond 8 somewhere."""
    values = np.asarray(values, float)
    centre, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert (np.abs(centre - truth) < 4 * error).all(), (centre, truth, error)
    for wrong in against:
        assert (np.abs(centre - wrong) > 8 * error).any(), (centre, wrong, error)


def check_gaussian(theory, beta, right, wrong, chains=400):
    w = np.asarray(samples(theory, LINE, DATA, beta, chains, lambda params: params["w"]), float)
    middle, covariance = right
    centred = w - middle
    agree(w.mean(axis=1), middle, against=[START, *(other[0] for other in wrong)])
    moments = np.einsum("csi,csj->cij", centred, centred) / w.shape[1]
    agree(moments, covariance, against=[other[1] for other in wrong])


WARM = LangevinPosterior(prior_precision=2.0, step_size=0.5, plan=Plan(warmup=50, samples=600, thin=1))


def test_draws_are_the_tempered_posterior():
    """Not that of another β, γ, or without the metric."""
    theory = replace(WARM, metric={"w": jnp.asarray(METRIC)})
    wrong = [exact(0.3, 2.0), exact(0.6, 2.0, METRIC), exact(0.3, 1.0, METRIC), exact(0.3, 2.0, 1 / METRIC)]
    check_gaussian(theory, 0.3, exact(0.3, 2.0, METRIC), wrong)


@pytest.mark.slow
def test_minibatches_with_the_control_variate_give_the_same_answer():
    """Their noise, (w - w0) times that of the curvature, is small at a small step: without it 40 % heat."""
    theory = replace(WARM, step_size=0.02, batch=3, plan=Plan(warmup=400, samples=500, thin=20))
    check_gaussian(theory, 0.3, exact(0.3, 2.0), [exact(0.0, 2.0), exact(0.6, 2.0)], chains=150)


def test_replay_adds_the_likelihood_of_the_pretraining_documents():
    theory = replace(WARM, replay=REPLAY, alpha=0.4)
    check_gaussian(theory, 0.3, exact(0.3, 2.0, alpha=0.4), [exact(0.3, 2.0), exact(0.7, 2.0)])


@pytest.mark.slow
def test_replay_pulls_back_towards_the_pretraining_documents(bigram, process, data):
    """The base fitted to D, then moved by D': the more replay, the less of D is forgotten."""
    old = Dataset(process.sample(jax.random.key(5), 64), jnp.ones((64, 4), bool))
    fit = jax.jit(lambda prior: Proximal().predict(prior, old, 10.0), compiler_options=QUICK)
    base = fit(bigram)

    def read(params):
        network = base.with_params(params)
        return jnp.stack([-jnp.sum(log_likelihood(network, documents)) for documents in (old, data)])

    @partial(jax.jit, compiler_options=QUICK)
    def losses(alpha):
        theory = LangevinPosterior(20.0, plan=Plan(warmup=60, samples=40), replay=old, alpha=alpha)
        return samples(theory, base, data, 5.0, 40, read).mean(axis=1)

    values = [np.asarray(losses(alpha), float) for alpha in (0.0, 0.3, 1.0)]
    for less, more in pairwise(values):
        gap = less - more  # the same keys: chains side by side
        assert gap[:, 0].mean() > 8 * gap[:, 0].std(ddof=1) / np.sqrt(40)
    start = -float(jnp.sum(log_likelihood(base, data)))
    assert values[0][:, 1].mean() < values[2][:, 1].mean() < start


@pytest.mark.slow
def test_the_limit_of_zero_temperature_is_proximal(bigram, data):
    """At one τ = βN/γ the predictive differs from Proximal's by what Laplace's method says, of order 1/γ:

    E[f(w)] - f(w*) = ½ tr(Σ ∇²f) - ½ ∇f · Σ ∇ tr(Σ ∇²U), Σ the inverse of ∇²U at w*.
    """
    tau, count, shape = 3.0, float(jnp.sum(data.mask)), (6, 5)
    tokens = jnp.asarray([[0, 3, 1, 4], [2, 4, 0, 3]])
    star = jnp.ravel(Proximal(tolerance=1e-6, iterations=300).predict(bigram, data, tau / count).params)

    def value(flat):
        return jnp.exp(bigram.with_params(flat.reshape(shape)).predict(tokens))[:, 1:].ravel()

    def potential(flat):
        """At γ = 1; only its size depends on γ."""
        near = 0.5 * jnp.sum((flat - jnp.ravel(bigram.params)) ** 2)
        return near - tau / count * jnp.sum(log_likelihood(bigram.with_params(flat.reshape(shape)), data))

    @partial(jax.jit, compiler_options=QUICK)
    def first_order(star):
        covariance = jnp.linalg.inv(jax.hessian(potential)(star))
        skew = jax.grad(lambda flat: jnp.sum(covariance * jax.hessian(potential)(flat)))(star)
        slope = jax.jacobian(value)(star)
        bend = jnp.einsum("aij,ij->a", jax.hessian(value)(star), covariance)
        return value(star), bend / 2 - slope @ covariance @ skew / 2, slope @ covariance

    limit, shift, lever = (np.asarray(leaf, float) for leaf in first_order(star))

    @partial(jax.jit, compiler_options=QUICK)
    def averages(gamma):
        theory = LangevinPosterior(gamma, step_size=0.4, plan=Plan(warmup=40, samples=150))
        read = lambda params: (value(jnp.ravel(params)), jax.grad(potential)(jnp.ravel(params)))  # noqa: E731
        return samples(theory, bigram, data, tau * gamma / count, 300, read, mean)

    size = np.linalg.norm(shift)
    misses = {}
    for gamma in (20.0, 80.0, 320.0):
        average, slope = (np.asarray(leaf, float) for leaf in averages(gamma))
        # E[∇U] = 0: what the draws wander by to first order can be taken off
        misses[gamma] = (average - slope @ lever.T - limit) @ shift / size
    assert misses[20.0].mean() > 3 * misses[80.0].mean() > 9 * misses[320.0].mean() > 0
    agree(320 * misses[320.0], size, against=[0.0, 2 * size, size / 2])


@pytest.mark.slow
def test_the_limit_of_a_transformer():
    """Its 848 weights wander by √(848/γ) on the whole; the average prediction goes to Proximal's like 1/γ: of
    a smooth network, as with ReLUs the point may lie at a kink, and chains elsewhere."""
    network = first(build(Architecture(width=8, layers=1, heads=2, activation="gelu"), 3, 3, [0]))
    tokens, tau, count = documents(4, 7).tokens, 0.1, float(jnp.sum(DATA.mask))
    star = Proximal(tolerance=1e-5, iterations=300).predict(network, DATA, tau / count)
    base, back = ravel_pytree(network.params)

    def value(flat):
        return jnp.exp(network.with_params(back(flat)).predict(tokens)).ravel()

    def potential(flat):
        near = 0.5 * jnp.sum((flat - base) ** 2)
        return near - tau / count * jnp.sum(log_likelihood(network.with_params(back(flat)), DATA))

    @jax.jit
    def averages(gamma):
        theory = LangevinPosterior(gamma, step_size=0.3, plan=Plan(warmup=60, samples=150))
        flat = lambda params: ravel_pytree(params)[0]  # noqa: E731
        read = lambda params: (value(flat(params)), jax.grad(potential)(flat(params)))  # noqa: E731
        return samples(theory, network, DATA, tau * gamma / count, 300, read, mean)

    spot = ravel_pytree(star.params)[0]
    curvature, slope = jax.jit(lambda flat: (jax.hessian(potential)(flat), jax.jacobian(value)(flat)))(spot)
    lever = np.linalg.solve(np.asarray(curvature, float), np.asarray(slope, float).T)
    sizes = []
    for gamma in (1e4, 4e4, 1.6e5):
        average, pull = (np.asarray(leaf, float) for leaf in averages(gamma))
        miss = average - pull @ lever - np.asarray(value(spot), float)
        noise = np.sum(miss.var(axis=0, ddof=1)) / 300
        sizes.append(np.sqrt(np.sum(miss.mean(axis=0) ** 2) - noise))
        assert sizes[-1] > 6 * np.sqrt(noise)
    moved = np.linalg.norm(value(spot) - value(base))
    assert sizes[-1] < 0.01 * moved
    assert all(3.8 < hot / cold < 4.2 for hot, cold in pairwise(sizes))  # not the 2 of 1/√γ


@pytest.mark.slow
def test_a_fisher_metric_keeps_what_pretraining_determines(bigram, data, documents):
    """D never shows token 4: predictions after 0 to 3 are kept, those after 4 are free to move."""
    shown = jnp.asarray([[0, 3, 1, 3], [2, 3, 0, 3], [1, 3, 2, 3]])
    old = Dataset(jnp.tile(shown, (4, 1)), jnp.ones((12, 4), bool))
    information = fisher(bigram, old, floor=1e-2)
    information = information / jnp.mean(information)  # as stiff as the identity on the whole
    kept, free = [0, 1, 2, 3, 5], [4]

    @partial(jax.jit, compiler_options=QUICK)
    def averages(metric):
        theory = LangevinPosterior(20.0, metric=metric, plan=Plan(warmup=60, samples=40))
        return samples(theory, bigram, data, 3.0, 60, lambda params: jax.nn.softmax(params, axis=-1), mean)

    ratios = {}
    for name, metric in (("identity", jnp.ones((6, 5))), ("fisher", information)):
        gap = np.asarray(averages(metric) - jax.nn.softmax(bigram.params, axis=-1), float)
        gap = np.abs(gap).sum(axis=-1)
        ratios[name] = gap[:, kept].mean(axis=1) / gap[:, free].mean(axis=1)
    error = np.hypot(*(ratio.std(ddof=1) / np.sqrt(60) for ratio in ratios.values()))
    assert ratios["identity"].mean() - ratios["fisher"].mean() > 8 * error
    assert ratios["fisher"].mean() < 0.5 * ratios["identity"].mean()


def test_predict_averages_every_draw_of_every_chain(bigram, data, documents):
    theory = LangevinPosterior(prior_precision=20.0, plan=Plan(warmup=5, samples=4, thin=2), chains=3)
    predict = jax.jit(lambda key: theory.predict(bigram, data, 0.5, key=key), compiler_options=QUICK)
    average = predict(jax.random.key(4))
    assert isinstance(average, Average)
    assert average.params.shape == (12, 6, 5)
    assert len(np.unique(np.asarray(average.params)[:, 0, 0])) == 12  # chains and draws all differ
    singles = jax.vmap(lambda params: jnp.exp(bigram.with_params(params).predict(documents)))(average.params)
    np.testing.assert_allclose(np.exp(average.predict(documents)), singles.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(average.params, predict(jax.random.key(4)).params)
    assert np.abs(average.params - predict(jax.random.key(5)).params).min() > 0


def test_a_shorter_chain_is_the_beginning_of_a_longer_one(bigram, data):
    theory = LangevinPosterior(prior_precision=20.0, plan=Plan(warmup=3, samples=4, thin=1))
    posterior, key = theory.posterior(bigram, data, 0.5), jax.random.key(0)
    of = {"w": trace(lambda state: posterior.params(state.z))}
    chain = jax.jit(lambda last: theory.chain(posterior, key, of, last=last)["w"], compiler_options=QUICK)
    whole, part = chain(7), chain(5)
    np.testing.assert_array_equal(part[:2], whole[:2])
    np.testing.assert_array_equal(part[2:], 0)
    assert (np.abs(whole[1:] - whole[:-1]) > 0).all()


def test_misuse_is_refused(bigram, data):
    with pytest.raises(Misuse, match="needs a key, got None"):
        LangevinPosterior().predict(bigram, data, 0.5)
    with pytest.raises(Misuse, match="chains must be at least 1, got 0"):
        LangevinPosterior(chains=0)
    for wrong, sentence in (
        ({"prior_precision": 0.0}, "got 0.0"),
        ({"step_size": -0.1}, "step_size .* got -0.1"),
        (
            {"step_size": 2.0, "prior_precision": 0.01},
            "times the largest that is stable at the first position",
        ),
        ({"friction": -1.0}, "friction .* got -1.0"),
        ({"batch": 9}, "batch must be from 1 to the 8 documents"),
        ({"alpha": 0.3}, "pass them as replay"),
        ({"metric": jnp.zeros((6, 5))}, "metric must be positive"),
    ):
        with pytest.raises(Misuse, match=sentence):
            LangevinPosterior(**wrong).predict(bigram, data, 0.5, key=jax.random.key(0))
    lost = bigram.with_params(bigram.params.at[:, 1:].add(-3e38))  # finite weights, impossible answers
    with pytest.raises(Misuse, match="potential of HarmonicLangevin is not finite at the first position"):
        LangevinPosterior().predict(lost, data, 0.5, key=jax.random.key(0))
