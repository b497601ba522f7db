"""Matrix-free curvatures against matrices written out in float64, and functions of them by Lanczos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from models.network import build, first
from models.transformer import Architecture
from tests.theory.tiny_networks import Bigram, Curved
from theory.base import Dataset, Misuse, log_likelihood
from theory.weights.curvature import (
    apply,
    fisher,
    gauss_newton,
    gradient,
    hessian,
    inverse_root,
    krylov,
    modes,
    squared,
)

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
RNG = np.random.default_rng(4)
CURVED = Curved(
    {"embed": jnp.asarray(RNG.normal(size=(4, 2))), "unembed": jnp.asarray(RNG.normal(size=(2, 3)))}
)
BIGRAM = Bigram(jnp.asarray(RNG.normal(size=(4, 3))))
DATA = Dataset(jnp.asarray(RNG.integers(0, 3, (5, 3))), jnp.asarray(RNG.random((5, 3)) < 0.7))
NETWORKS = {"curved": CURVED, "bigram": BIGRAM}
GAUSS_NEWTON = lambda network: gauss_newton(network, DATA).product  # noqa: E731
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def dense(network, data=DATA):
    """Jacobian of the logits (N, v, weights), probabilities (N, v) and answers (N, v), counted positions."""
    flat, shaped = ravel_pytree(network.params)
    read = lambda flat: network.with_params(shaped(flat)).logits(data.tokens)  # noqa: E731
    mask = np.asarray(data.mask)
    both = quick(lambda flat: (jax.jacobian(read)(flat), read(flat)))(flat)
    jacobian, logits = (np.asarray(each, float)[mask] for each in both)
    p = np.exp(logits)
    answers = np.eye(logits.shape[-1])[np.asarray(data.tokens)[mask]]
    return jacobian, p / p.sum(axis=-1, keepdims=True), answers


def outputs(kind, p):
    """S or P of every counted position."""
    if kind is gauss_newton:
        return np.einsum("na,ab->nab", p, np.eye(3)) - np.einsum("na,nb->nab", p, p)
    return np.broadcast_to(np.eye(3) - 1 / 3, (len(p), 3, 3))


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], float)


def shaped(network, vector):
    return ravel_pytree(network.params)[1](jnp.asarray(vector, jnp.float32))


def matrix(network, product):
    """Every column of the product that `product` makes of the network."""
    size = flat(network.params).size
    column = lambda vector: ravel_pytree(product(network)(shaped(network, vector)))[0]  # noqa: E731
    return np.asarray(quick(jax.vmap(column))(jnp.eye(size)), float).T


def close(got, wanted, tolerance=2e-5):
    np.testing.assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max())


@networks
@pytest.mark.parametrize("kind", [gauss_newton, squared])
def test_products_are_those_of_the_matrix(network, kind):
    jacobian, p, _ = dense(network)
    wanted = np.einsum("nap,nab,nbq->pq", jacobian, outputs(kind, p), jacobian)
    close(matrix(network, lambda network: kind(network, DATA).product), wanted)


@networks
def test_the_root_of_gauss_newton_is_that_of_the_softmax(network):
    """R = Bᵀ J with B = diag(√p) - p√pᵀ, nothing at positions that do not count; B Bᵀ = S."""
    jacobian, p, _ = dense(network)
    b = np.einsum("na,ab->nab", np.sqrt(p), np.eye(3)) - np.einsum("na,nb->nab", p, np.sqrt(p))
    close(np.einsum("nac,nbc->nab", b, b), outputs(gauss_newton, p), 1e-12)
    root = np.einsum("nac,nap->ncp", b, jacobian)
    mask = np.asarray(DATA.mask)
    vector, u = RNG.normal(size=root.shape[-1]), RNG.normal(size=(*mask.shape, 3)).astype(np.float32)

    @quick
    def result(vector, u):
        curvature = gauss_newton(network, DATA)
        return curvature.push(vector), curvature.pull(u), curvature.kernel(u)

    pushed, pulled, both = result(shaped(network, vector), jnp.asarray(u))
    close(np.asarray(pushed)[mask], root @ vector)
    assert (np.asarray(pushed)[~mask] == 0).all() and (~mask).any()
    close(flat(pulled), np.einsum("ncp,nc->p", root, u[mask]))
    close(np.asarray(both)[mask], np.einsum("ncp,mdp,md->nc", root, root, u[mask]))


def test_the_kernel_of_squared_loss_is_the_tangent_kernel():
    """P J Jᵀ P of the logits, though the network tells log-probabilities."""
    jacobian, *_ = dense(CURVED)
    centred = jacobian - jacobian.mean(axis=1, keepdims=True)
    u = RNG.normal(size=(*DATA.mask.shape, 3)).astype(np.float32)
    mask = np.asarray(DATA.mask)
    got = np.asarray(quick(lambda u: squared(CURVED, DATA).kernel(u))(jnp.asarray(u)))
    close(got[mask], np.einsum("nap,mbp,mb->na", centred, centred, u[mask]))


@networks
def test_fisher_is_made_of_the_documents_gradients(network):
    jacobian, p, answers = dense(network)
    document = np.nonzero(np.asarray(DATA.mask))[0]
    slopes = np.zeros((5, jacobian.shape[-1]))
    np.add.at(slopes, document, np.einsum("nap,na->np", jacobian, answers - p))
    close(matrix(network, lambda network: fisher(network, DATA).product), slopes.T @ slopes)
    kernel = quick(lambda u: fisher(network, DATA).kernel(u))(jnp.ones(5))
    close(np.asarray(kernel), slopes @ slopes.T @ np.ones(5))


@networks
def test_the_gradient_is_the_jacobian_on_the_residuals(network):
    jacobian, p, answers = dense(network)
    close(
        flat(quick(lambda network: gradient(network, DATA))(network)),
        np.einsum("nap,na->p", jacobian, p - answers),
    )


def test_the_hessian_is_the_second_derivative():
    start, back = ravel_pytree(CURVED.params)
    loss = lambda flat: -jnp.sum(log_likelihood(CURVED.with_params(back(flat)), DATA))  # noqa: E731
    wanted = np.asarray(quick(jax.hessian(loss))(start), float)
    close(matrix(CURVED, lambda network: hessian(network, DATA)), wanted)
    other = matrix(CURVED, GAUSS_NEWTON)
    assert np.abs(other - wanted).max() > 0.1 * np.abs(wanted).max()
    assert np.linalg.eigvalsh(wanted).min() < -0.01  # Gauss-Newton is not negative, this is


def test_hessian_and_gauss_newton_agree_where_logits_are_linear():
    close(matrix(BIGRAM, lambda network: hessian(network, DATA)), matrix(BIGRAM, GAUSS_NEWTON))


def test_a_metric_acts_on_both_sides():
    metric = jax.tree.map(lambda leaf: jnp.exp(leaf), CURVED.params)
    scale = flat(metric) ** -0.5
    plain = matrix(CURVED, GAUSS_NEWTON)
    result = matrix(CURVED, lambda network: gauss_newton(network, DATA).within(inverse_root(metric)).product)
    close(result, scale[:, None] * plain * scale)
    vector = CURVED.params
    assert inverse_root(None)(vector) is vector
    with pytest.raises(Misuse, match="an entry for every weight"):
        inverse_root({"embed": metric["embed"]})(vector)


def quadratic(values, seed=0):
    """A symmetric matrix with these eigenvalues, as a product."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))
    result = (basis * values) @ basis.T
    return result, lambda vector: jnp.asarray(result, jnp.float32) @ vector


def applied(function, product, vector, iterations):
    result = lambda vector: apply(function, product, vector, iterations)  # noqa: E731
    return np.asarray(quick(result)(jnp.asarray(vector, jnp.float32)), float)


FUNCTIONS = {
    "exponential": lambda h: jnp.exp(-3 * h),
    "root": lambda h: (1 + 5 * h) ** -0.5,
    "ridge": lambda h: 1 / (1 + 20 * h),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_the_eigenvalues(name):
    values = np.array([0.0, 0.0, 0.03, 0.2, 0.21, 0.9, 1.7, 3.0])
    result, product = quadratic(values)
    vector = np.random.default_rng(1).normal(size=8)
    own, basis = np.linalg.eigh(result)
    wanted = basis @ (np.asarray(FUNCTIONS[name](np.maximum(own, 0)), float) * (basis.T @ vector))
    got = applied(FUNCTIONS[name], product, vector, 8)
    close(np.asarray(got), wanted, 1e-5)


def test_modes_add_up_to_the_vector_and_polynomials_are_exact():
    """Of degree below the number of products: here three, for eight different curvatures."""
    result, product = quadratic(np.linspace(0.1, 2, 8))
    vector = np.random.default_rng(2).normal(size=8)
    values, parts = quick(lambda vector: modes(product, vector, 3))(jnp.asarray(vector, jnp.float32))
    assert values.shape == (3,) and parts.shape == (3, 8)
    close(np.asarray(parts.sum(axis=0)), vector)
    for degree in (1, 2):
        wanted = np.linalg.matrix_power(result, degree) @ vector
        close(np.asarray((values**degree) @ parts), wanted)
    cubic = np.linalg.matrix_power(result, 3) @ vector
    assert np.abs(np.asarray(values**3 @ parts) - cubic).max() > 1e-3 * np.abs(cubic).max()


@pytest.mark.parametrize("iterations", [3, 20])
def test_as_many_products_as_there_are_curvatures_are_enough(iterations):
    """And more do no harm: the space is exhausted after three."""
    values = np.array([0.5] * 10 + [1.0] * 10 + [4.0] * 10)
    result, product = quadratic(values)
    vector = np.random.default_rng(3).normal(size=30)
    own, basis = np.linalg.eigh(result)
    wanted = basis @ (np.exp(-3 * own) * (basis.T @ vector))
    got = applied(FUNCTIONS["exponential"], product, vector, iterations)
    close(np.asarray(got), wanted, 1e-5)


def test_the_error_falls_as_that_of_conjugate_gradients():
    """‖x_k - x‖ ≤ 2 ((√κ - 1)/(√κ + 1))^k ‖x‖ in the norm of 1 + 20 C, κ = 21."""
    result, product = quadratic(np.linspace(0, 1, 60))
    vector = np.random.default_rng(5).normal(size=60)
    system = np.eye(60) + 20 * result
    wanted = np.linalg.solve(system, vector)
    rate = (np.sqrt(21) - 1) / (np.sqrt(21) + 1)
    for iterations in (4, 8, 16):
        miss = applied(FUNCTIONS["ridge"], product, vector, iterations) - wanted
        error = np.sqrt(miss @ system @ miss / (wanted @ system @ wanted))
        assert 1e-2 * rate**iterations < error < 2 * rate**iterations


def test_a_krylov_space_of_all_directions_has_the_matrix():
    result, product = quadratic(np.linspace(0.1, 2, 8))
    vector = jnp.asarray(np.random.default_rng(2).normal(size=8), jnp.float32)
    basis, tridiagonal = quick(lambda vector: krylov(product, vector, 8))(vector)
    close(np.asarray(basis @ basis.T), np.eye(8))
    close(np.asarray(basis.T @ tridiagonal @ basis), result)
    close(np.asarray(basis[0]), np.asarray(vector / jnp.linalg.norm(vector)))


def test_nothing_stays_nothing():
    _, product = quadratic(np.array([1.0, 2.0]))
    assert (applied(FUNCTIONS["ridge"], product, np.zeros(2), 4) == 0).all()
    still = applied(FUNCTIONS["ridge"], lambda vector: 0 * vector, np.array([3.0, -1.0]), 4)
    np.testing.assert_allclose(still, [3.0, -1.0], rtol=1e-6)


def transformer():
    network = first(build(Architecture(width=16, layers=2, heads=2), 6, 8, [0]))
    tokens = np.random.default_rng(0).integers(0, 6, (16, 8))
    return network, Dataset(jnp.asarray(tokens), jnp.ones((16, 8), bool))


@pytest.mark.parametrize("kind", [gauss_newton, squared, fisher, hessian])
def test_a_product_costs_no_more_than_three_gradients(kind):
    """In arithmetic, the network's own evaluation included."""
    network, data = transformer()

    def product(vector):
        result = kind(network, data)
        return (result if kind is hessian else result.product)(vector)

    def work(function):
        return jax.jit(function).lower(network.params).cost_analysis()["flops"]

    def slope(params):
        return gradient(network.with_params(params), data)

    assert work(product) < 3 * work(slope)


def test_no_matrix_is_made():
    """10 200 weights: their matrix would be 400 MB."""
    wide = Bigram(jnp.zeros((101, 101))[:, :100] + 0.1)
    data = Dataset(jnp.zeros((2, 4), int), jnp.ones((2, 4), bool))

    def result(vector):
        product = gauss_newton(wide, data).product
        return apply(FUNCTIONS["ridge"], product, vector, 10)

    memory = jax.jit(result).lower(wide.params).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 100 * 10100 * 4
