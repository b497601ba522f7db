"""Filters against integrated flows, and weights against the eigenvalues of a matrix written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from theory.base import Misuse
from theory.theories.spectrum import Spectrum, early_stopping, momentum, ridge
from theory.weights.kronecker import Kronecker

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
CURVATURES = np.array([0.0, 1e-6, 0.02, 0.3, 1.0, 5.0])
INERTIA = 0.4
FILTERS = {"ridge": ridge, "early_stopping": early_stopping, "momentum": momentum(INERTIA)}


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], float)


def dense(prior, data):
    """g and H = Jᵀ S J, summed over D', in float64."""
    start, shaped = ravel_pytree(prior.params)
    read = lambda flat: prior.with_params(shaped(flat)).predict(data.tokens)  # noqa: E731
    mask = np.asarray(data.mask)
    both = quick(lambda flat: (jax.jacobian(read)(flat), read(flat)))(start)
    jacobian, logits = (np.asarray(array, float)[mask] for array in both)
    p = np.exp(logits)
    miss = p - np.eye(p.shape[-1])[np.asarray(data.tokens)[mask]]
    outputs = np.einsum("na,ab->nab", p, np.eye(p.shape[-1])) - np.einsum("na,nb->nab", p, p)
    return (
        np.einsum("nap,na->p", jacobian, miss),
        np.einsum("nap,nab,nbq->pq", jacobian, outputs, jacobian),
    )


def function(matrix, filter, time):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * [filter(max(value, 0.0), time) for value in values]) @ vectors.T


def flow(curvature, time, inertia=None):
    """Where δ' = 1 - hδ (or with inertia, from rest) is at the time, by Runge-Kutta."""

    def slope(_, state):
        if inertia is None:
            return [1 - curvature * state[0]]
        return [state[1], (1 - curvature * state[0] - state[1]) / inertia]

    start = [0.0] if inertia is None else [0.0, 0.0]
    return solve_ivp(slope, (0, time), start, rtol=1e-10, atol=1e-12).y[0, -1]


EXACT = {
    "ridge": lambda h, t: t / (1 + t * h),
    "early_stopping": lambda h, t: flow(h, t) if t else 0.0,
    "momentum": lambda h, t: flow(h, t, INERTIA) if t else 0.0,
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_the_flows_that_they_name(name):
    """Over- and underdamped, soft and stiff; no time, no step."""
    for time in (0.0, 0.01, 1.0, 9.0):
        wanted = [EXACT[name](curvature, time) for curvature in CURVATURES]
        got = FILTERS[name](jnp.asarray(CURVATURES), time)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)


def test_early_stopping_is_a_ridge_of_its_own_strength_for_every_mode():
    """(e^{τh} - 1)/h; at one strength for all the share gone differs by 0.204 at most."""
    time, curvatures = 1.3, np.array([0.02, 0.3, 1.0, 5.0])
    strength = np.expm1(time * curvatures) / curvatures
    np.testing.assert_allclose(
        early_stopping(jnp.asarray(curvatures), time), ridge(jnp.asarray(curvatures), strength), rtol=1e-5
    )
    every = jnp.linspace(0.01, 30, 20000)
    gap = every * (early_stopping(every, 1.0) - ridge(every, 1.0))
    np.testing.assert_allclose([gap.max(), every[gap.argmax()]], [0.2036, 2.513], rtol=2e-3)


def test_momentum_is_that_of_sgd_to_second_order():
    """The heavy ball on a parabola, v = ∇ + μ v and w -= η v: halving the step, a quarter of the error."""
    curvature, share = 1.5, 0.6

    def error(rate):
        steps = round(2 * (1 - share) / rate)
        position = speed = 0.0
        for _ in range(steps):
            speed = curvature * position - 1 + share * speed
            position -= rate * speed
        end, inertia = rate * (steps + 0.5) / (1 - share), rate * (1 + share) / (2 * (1 - share) ** 2)
        return position - flow(curvature, end, inertia), position - flow(
            curvature, rate * steps / (1 - share)
        )

    (coarse, _), (fine, plain) = error(0.005), error(0.0025)
    assert 3.5 < coarse / fine < 4.5
    assert abs(plain) > 100 * abs(fine)  # plain flow is wrong to first order


@pytest.mark.parametrize("name", FILTERS)
def test_weights_are_those_of_the_eigenvalues(curved, data, name):
    pull, matrix = dense(curved, data)
    theory = Spectrum(FILTERS[name], prior_precision=2.0, iterations=44)
    solve = quick(jax.vmap(lambda beta: theory.predict(curved, data, beta).displacement))
    betas = np.array([0.05, 0.4, 3.0])
    got = solve(jnp.asarray(betas))
    for row, beta in enumerate(betas):
        wanted = -function(matrix, EXACT[name], beta / 2) @ pull
        error = np.linalg.norm(flat(jax.tree.map(lambda leaf, row=row: leaf[row], got)) - wanted)
        assert error < 1e-4 * np.linalg.norm(wanted)


def test_the_metric_is_that_of_every_direction(curved, data):
    """Diagonal, and by Kronecker factors, against Λ^-½ f(Λ^-½ H Λ^-½) Λ^-½ g."""
    pull, matrix = dense(curved, data)
    stream = np.random.default_rng(0)
    diagonal = jax.tree.map(lambda leaf: jnp.asarray(stream.uniform(0.3, 3, leaf.shape)), curved.params)
    basis = {
        name: [np.linalg.qr(stream.normal(size=(size, size)))[0] for size in leaf.shape]
        for name, leaf in curved.params.items()
    }
    factors = Kronecker(
        *({name: jnp.asarray(factors[axis]) for name, factors in basis.items()} for axis in (0, 1)), diagonal
    )
    blocks = np.zeros_like(matrix)
    offset = 0
    for name, leaf in diagonal.items():
        turn, end = np.kron(*basis[name]), offset + leaf.size
        blocks[offset:end, offset:end] = (turn * np.ravel(leaf)) @ turn.T
        offset = end
    for metric, written in ((diagonal, np.diag(flat(diagonal))), (factors, blocks)):
        root = function(written, lambda value, _: value**-0.5, None)
        wanted = -root @ function(root @ matrix @ root, EXACT["early_stopping"], 0.7) @ root @ pull
        got = quick(
            lambda beta, metric=metric: Spectrum(metric=metric, iterations=44).predict(curved, data, beta)
        )(0.7)
        assert np.linalg.norm(flat(got.displacement) - wanted) < 1e-4 * np.linalg.norm(wanted)
        plain = -function(matrix, EXACT["early_stopping"], 0.7) @ pull
        assert np.linalg.norm(plain - wanted) > 0.1 * np.linalg.norm(wanted)


def trained(prior, data, times):
    """Gradient flow of the bigram's own cross-entropy, summed over D', in float64."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    before = np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=5)[mask]
    answers = np.eye(5)[tokens[mask]]

    def slope(_, weights):
        table = weights.reshape(6, 5)
        p = np.exp(table)[before]
        pull = np.zeros_like(table)
        np.add.at(pull, before, answers - p / p.sum(axis=-1, keepdims=True))
        return pull.ravel()

    start = np.asarray(prior.params, float).ravel()
    return solve_ivp(slope, (0, times[-1]), start, t_eval=times, rtol=1e-11, atol=1e-12).y.T - start


def test_the_flow_of_cross_entropy_is_met_to_second_order(bigram, data):
    """Where logits are linear: halving the time, an eighth of the error; for the ridge a quarter."""
    times = np.array([0.01, 0.02, 0.04])
    exact = trained(bigram, data, times)
    for filter, ratio in ((early_stopping, 8), (ridge, 4)):
        theory = Spectrum(filter, iterations=30)
        solve = quick(jax.vmap(lambda beta, theory=theory: theory.predict(bigram, data, beta).displacement))
        errors = np.linalg.norm(np.asarray(solve(jnp.asarray(times))).reshape(3, -1) - exact, axis=-1)
        assert errors[1] > 1e-4
        assert abs(errors[2] / errors[1] / ratio - 1) < 0.15


def test_a_dozen_products_are_enough(curved, data):
    pull, matrix = dense(curved, data)
    wanted = -function(matrix, EXACT["early_stopping"], 0.5) @ pull
    got = flat(quick(Spectrum(iterations=12).predict)(curved, data, 0.5).displacement)
    assert np.linalg.norm(got - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_the_prediction_is_the_linearised_networks(curved, data, documents):
    """f(w0) + J δ, normalised, against a Jacobian."""
    tangent = quick(Spectrum().predict)(curved, data, 0.5)
    start, shaped = ravel_pytree(curved.params)
    read = lambda flat: curved.with_params(shaped(flat)).predict(documents)  # noqa: E731
    value, jacobian = quick(lambda flat: (read(flat), jax.jacobian(read)(flat)))(start)
    logits = np.asarray(value, float) + np.asarray(jacobian, float) @ flat(tangent.displacement)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(tangent.predict(documents)), wanted, rtol=2e-4)


def test_misuse_is_refused(bigram, data):
    for wrong, sentence in (
        ({"prior_precision": 0.0}, "prior_precision must be finite and above 0, got 0.0"),
        ({"prior_precision": np.nan}, "prior_precision must be finite and above 0, got nan"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
    ):
        with pytest.raises(Misuse, match=sentence):
            Spectrum(**wrong)
    for inertia in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(Misuse, match=f"inertia must be finite and above 0, got {inertia}"):
            momentum(inertia)
    with pytest.raises(Misuse, match="or one of adam, fisher, kronecker, got 'muon'"):
        Spectrum(metric="muon")
    with pytest.raises(Misuse, match=r"The metric 'adam' is made of a network .*; call complete"):
        Spectrum(metric="adam").predict(bigram, data, 0.1)
    with pytest.raises(Misuse, match="an entry for every weight"):
        Spectrum(metric={"w": jnp.ones((6, 5))}).predict(bigram, data, 0.1)
