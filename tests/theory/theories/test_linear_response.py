"""Responses against exact posteriors at β ± a little: Gaussian ones in closed form, others by quadrature."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from theory.base import Dataset, Misuse, log_likelihood
from theory.mcmc.chains import Plan
from theory.mcmc.estimators import susceptibility
from theory.theories.langevin_posterior import LangevinPosterior
from theory.theories.linear_response import LinearResponse
from theory.theories.linearised import Linearised

KEY = jax.random.key(0)
QUICK = {"xla_backend_optimization_level": 1}  # these programs compile for longer than they run


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Line:
    """log p(token) = -½ (x_token · w - y_token)², but x · w for the last: posteriors are Gaussian."""

    params: Any
    inputs: Any = field(metadata={"static": True}, default=((1.0, 0.5), (-0.6, 1.2), (0.8, -0.9)))
    targets: Any = field(metadata={"static": True}, default=(1.0, -0.5, 2.0))

    def predict(self, tokens):
        line = jnp.asarray(self.inputs) @ self.params["w"]
        logits = -0.5 * (line - jnp.asarray(self.targets)) ** 2
        logits = jnp.append(logits, line[2])
        return jnp.broadcast_to(logits, (*tokens.shape, 4))

    def with_params(self, params):
        return replace(self, params=params)


def documents(n, seed):
    stream = np.random.default_rng(seed)
    return Dataset(jnp.asarray(stream.integers(0, 3, (n, 3))), jnp.asarray(stream.random((n, 3)) < 0.7))


START, METRIC, GAMMA = np.array([0.4, -0.6]), np.array([0.5, 2.0]), 8.0
LINE, DATA, REPLAY = Line({"w": jnp.asarray(START)}), documents(6, 0), documents(5, 1)
INPUTS, TARGETS = np.array(LINE.inputs), np.array(LINE.targets)


def line_expectations(beta, alpha):
    """⟨log p⟩ of the four tokens under the posterior of `Line`."""
    precision = GAMMA * np.diag(METRIC)
    pull = precision @ START
    for strength, data in ((beta, DATA), (alpha, REPLAY)):
        rows = np.asarray(data.tokens)[np.asarray(data.mask)]
        x, y = INPUTS[rows], TARGETS[rows]
        precision, pull = precision + strength * x.T @ x, pull + strength * x.T @ y
    mean, covariance = np.linalg.solve(precision, pull), np.linalg.inv(precision)
    spread = np.einsum("vi,ij,vj->v", INPUTS, covariance, INPUTS)
    return np.append(-0.5 * ((INPUTS @ mean - TARGETS) ** 2 + spread), INPUTS[2] @ mean)


def line_slope(alpha=0.0, step=1e-5):
    return (line_expectations(step, alpha) - line_expectations(-step, alpha)) / (2 * step)


def sampling(**changes):
    metric = {"w": jnp.asarray(METRIC)}
    return LangevinPosterior(GAMMA, metric, step_size=1.0, plan=Plan(20, 2000, 1), chains=4, **changes)


TOKENS = np.zeros((1, 1), int)


def test_what_is_linear_in_the_weights_responds_exactly():
    """Two draws, no error: the loss is quadratic, and odd orders cancel in the pair."""
    chi = LinearResponse(sampling(), samples=2).response(LINE, DATA, KEY).at(TOKENS)[0, 0]
    wanted = line_slope()
    np.testing.assert_allclose(chi[3], wanted[3], rtol=1e-5)
    assert np.abs(chi - wanted)[:3].max() > 0.01  # the others have noise, or there is nothing to test below


def repeated(network, data, gamma, metric=None, keys=100):
    """Responses of 256 draws under as many keys: their mean and its standard error."""
    theory = LinearResponse(LangevinPosterior(gamma, metric), samples=256)
    response = jax.vmap(lambda key: theory.response(network, data, key).at(TOKENS)[0, 0])
    estimates = np.asarray(jax.jit(response, compiler_options=QUICK)(jax.random.split(KEY, keys)), float)
    return estimates.mean(axis=0), estimates.std(axis=0, ddof=1) / np.sqrt(keys)


def test_the_gaussian_response_within_its_error():
    """Quadratic log-probabilities and losses, against a finite difference of exact posteriors."""
    mean, error = (values[:3] for values in repeated(LINE, DATA, GAMMA, {"w": jnp.asarray(METRIC)}, keys=400))
    wanted = line_slope()[:3]
    assert np.all(np.abs(mean - wanted) < 4 * error)
    assert np.all(error < 0.003 * np.abs(wanted).max())
    linear = (TARGETS - INPUTS @ START) * (INPUTS @ np.diag(1 / (GAMMA * METRIC)) @ _pull())
    assert np.all(np.abs(linear - wanted) > 20 * error)  # the eNTK's would be wrong


def _pull():
    rows = np.asarray(DATA.tokens)[np.asarray(DATA.mask)]
    return INPUTS[rows].T @ (TARGETS[rows] - INPUTS[rows] @ START)


def chained(posterior, network, data, tokens):
    """The response of chains, and the susceptibility that `theory.mcmc.estimators` finds in the same
    draws."""

    @partial(jax.jit, compiler_options=QUICK)
    def run(key):
        response = LinearResponse(posterior, samples=None).response(network, data, key)
        networks = jax.vmap(network.with_params)(response.weights)
        observed = jax.vmap(lambda network: network.predict(tokens))(networks)
        losses = -jax.vmap(lambda network: jnp.sum(log_likelihood(network, data)))(networks)
        return response.at(tokens), observed, losses

    chi, observed, losses = run(KEY)
    shape = posterior.chains, posterior.plan.samples
    return chi, susceptibility(observed.reshape(*shape, *chi.shape), losses.reshape(shape))


@pytest.mark.slow
def test_a_chain_with_replay_within_its_error():
    """Sequential Bayes: the law at β = 0 has the precision of the replayed documents too."""
    chi, measured = chained(sampling(replay=REPLAY, alpha=1.5), LINE, DATA, TOKENS)
    wanted = line_slope(alpha=1.5)
    assert np.all(np.abs(chi - wanted) < 4 * measured.error)
    assert np.all(measured.error < 0.06 * np.abs(wanted).max())
    assert np.abs(wanted - line_slope()).max() > 10 * measured.error.max()


@pytest.mark.slow
def test_a_chain_says_what_the_estimator_of_susceptibilities_says(curved, data, documents):
    """To rounding: with few draws its jackknife is over single ones."""
    posterior = LangevinPosterior(30.0, plan=Plan(20, 40, 1), chains=3)
    chi, wanted = chained(posterior, curved, data, documents)
    np.testing.assert_allclose(chi, wanted.value, atol=2e-5 * np.abs(wanted.value).max())


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bend:
    """Three tokens, two weights, and nothing linear in them."""

    params: Any

    def predict(self, tokens):
        a, b = self.params
        logits = jnp.stack([jnp.tanh(a + 0.3), a * b, jnp.sin(2 * b)])
        return jnp.broadcast_to(jax.nn.log_softmax(logits), (*tokens.shape, 3))

    def with_params(self, params):
        return replace(self, params=params)


BENT = Bend(jnp.asarray([0.3, -0.5]))
SEEN = Dataset(jnp.asarray([[0, 1], [0, 2], [0, 0]]), jnp.asarray([[True, True]] * 2 + [[True, False]]))


def bent_slope(gamma, step=1e-4):
    """d⟨log p⟩/dβ by a 60 × 60 Gauss-Hermite rule, in numpy."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    a, b = (
        mean + grid / np.sqrt(gamma)
        for mean, grid in zip((0.3, -0.5), np.meshgrid(nodes, nodes), strict=True)
    )
    logits = np.stack([np.tanh(a + 0.3), a * b, np.sin(2 * b)])
    log_p = logits - np.log(np.exp(logits).sum(axis=0))
    loss = -(3 * log_p[0] + log_p[1] + log_p[2])  # the tokens that `SEEN` counts

    def expectation(beta):
        law = np.outer(weights, weights) * np.exp(-beta * (loss - loss.mean()))
        return (law * log_p).sum(axis=(1, 2)) / law.sum()

    return (expectation(step) - expectation(-step)) / (2 * step)


@pytest.mark.slow
def test_a_bent_response_within_its_error():
    """Not Gaussian, not quadratic, warm: against quadrature over the weights."""
    mean, error = repeated(BENT, SEEN, 4.0, keys=200)
    wanted = bent_slope(4.0)
    assert np.all(np.abs(mean - wanted) < 4 * error)
    assert np.all(error < 0.01 * np.abs(wanted).max())
    assert np.all(np.abs(wanted - _kernel(BENT, SEEN) / 4) > 10 * error)


def _kernel(network, data):
    """-∇log p · ∇L with whole Jacobians, (v,)."""
    flat, unravel = ravel_pytree(network.params)
    jacobian = jax.jit(jax.jacrev(lambda w: network.with_params(unravel(w)).predict(TOKENS)[0, 0]))(flat)
    pull = jax.jit(jax.grad(lambda w: jnp.sum(log_likelihood(network.with_params(unravel(w)), data))))(flat)
    return np.asarray(jacobian, float) @ np.asarray(pull, float)


def test_the_cold_limit_is_a_step_of_the_linearised_network(curved, data, documents):
    """δ = -(β/γ) Λ^-1 ∇L: the eNTK's first order, whole batch."""
    gamma, time = 1e8, 0.4
    metric = jax.tree.map(
        lambda leaf: 1 + 0.5 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), curved.params
    )
    beta = time * gamma / int(data.mask.sum())
    shifted = LinearResponse(LangevinPosterior(gamma, metric), samples=2).predict(curved, data, beta, key=KEY)
    divide = optax.stateless(lambda pull, _: jax.tree.map(jnp.divide, pull, metric))
    step = Linearised(optax.chain(divide, optax.sgd(time)), time, jnp.arange(8)[None])
    linearised = step.predict(curved, data, time)
    got, wanted, before = (
        np.exp(predictor.predict(documents)) for predictor in (shifted, linearised, curved)
    )
    np.testing.assert_allclose(got, wanted, atol=2e-5)
    assert np.abs(wanted - before).max() > 0.1


@pytest.mark.slow
def test_gradients_are_less_noisy_than_products(curved, data, documents):
    """Than a plain covariance of as many independent weights; and ten times the precision makes a tenth of χ,
    a hundredth of its error."""
    samples, keys = 32, jax.random.split(KEY, 50)
    flat, unravel = ravel_pytree(curved.params)

    @partial(jax.jit, compiler_options=QUICK)
    def gradients(gamma):
        theory = LinearResponse(LangevinPosterior(gamma), samples=samples)
        return jax.vmap(lambda key: theory.response(curved, data, key).at(documents))(keys)

    def product(key, gamma=100.0):
        weights = flat + gamma**-0.5 * jax.random.normal(key, (samples, len(flat)))
        networks = jax.vmap(lambda w: curved.with_params(unravel(w)))(weights)
        log_p = jax.vmap(lambda network: network.predict(documents))(networks)
        losses = jax.vmap(lambda network: -jnp.sum(log_likelihood(network, data)))(networks)
        return -jnp.tensordot(losses - losses.mean(), log_p, 1) / (samples - 1)

    smeared, noisy, cold = gradients(100.0), jax.jit(jax.vmap(product))(keys), gradients(1000.0)
    error = {
        name: np.std(values, axis=0)
        for name, values in (("smeared", smeared), ("noisy", noisy), ("cold", cold))
    }
    gap = np.abs(np.mean(smeared, axis=0) - np.mean(noisy, axis=0))
    assert np.all(gap < 5 * error["noisy"] / np.sqrt(50) + 1e-6)
    assert error["noisy"].mean() > 20 * error["smeared"].mean()
    assert abs(error["smeared"].mean() / error["cold"].mean() / 100 - 1) < 0.2
    assert abs(np.abs(smeared).mean() / np.abs(cold).mean() / 10 - 1) < 0.1


def test_bad_draws_are_refused(bigram, data):
    for samples in (0, 1, 7):
        with pytest.raises(Misuse, match=f"even, from 2 on, got {samples}"):
            LinearResponse(samples=samples)
    with pytest.raises(Misuse, match="not Gaussian, got samples = 64; use None"):
        LinearResponse(LangevinPosterior(replay=REPLAY, alpha=1.0))
    with pytest.raises(Misuse, match="needs a key, got None"):
        LinearResponse().predict(bigram, data, 0.1)
