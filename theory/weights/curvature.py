"""Curvatures of D' at a network's weights as products with vectors, C v = Rᵀ (R v): no matrix is made.

    gauss_newton  Jᵀ S J         S = diag(p) - ppᵀ: cross-entropy, its outputs linear in the weights
    squared       Jᵀ P J         P = 1 - 11ᵀ/v: squared loss on centred logits; R Rᵀ is their tangent kernel
    fisher        Σ_i g_i g_iᵀ   g_i the gradient of a document's log-likelihood: empirical
    hessian       ∇² Σ ℓ         no root R: it may be negative

J is the Jacobian of the logits at counted positions; S and P do not change when a number is added to all
logits of a position, so log-probabilities do as well. All are sums over D', in nats. A product costs a pass
forward and one backward, about a gradient: the network itself is evaluated once. Where logits are linear in
the weights, Hessian and Gauss-Newton are equal.

Functions of a curvature act on one vector by Lanczos (Golub & Van Loan, Matrix Computations, 10.1), with
full reorthogonalisation: k products, and k vectors kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from theory.base import Dataset, Misuse, Parametric, Params, log_likelihood
from theory.compute.devices import eigh
from theory.weights.kronecker import Kronecker

Product: TypeAlias = Callable[[Params], Params]
Metric: TypeAlias = Params | Kronecker | None  # diagonal, in Kronecker factors, or the identity


@dataclass(frozen=True)
class Curvature:
    """RᵀR by its root: `push` is R, from weights (pytrees) to outputs (arrays), and `pull` its transpose."""

    push: Callable[[Params], Array]
    pull: Callable[[Array], Params]

    def product(self, vector: Params) -> Params:
        """RᵀR v for v like the weights."""
        return self.pull(self.push(vector))

    def kernel(self, outputs: Array) -> Array:
        """R Rᵀ u for u like the outputs: its eigenvalues above 0 are those of RᵀR."""
        return self.push(self.pull(outputs))

    def within(self, scale: Product) -> "Curvature":
        """The curvature in other coordinates, R Λ^-½, for a symmetric `scale` Λ^-½."""
        return Curvature(lambda vector: self.push(scale(vector)), lambda outputs: scale(self.pull(outputs)))


def gauss_newton(network: Parametric, data: Dataset) -> Curvature:
    """Jᵀ S J. With S = B Bᵀ, B = diag(√p) - p√pᵀ, the root is Bᵀ J; outputs (n, t, v)."""
    log_probs, push, pull = _linear(network, lambda network: network.predict(data.tokens))
    p, root, counted = jnp.exp(log_probs), jnp.exp(log_probs / 2), data.mask[..., None]

    # B u = √p ⊙ u - p (√p · u) and Bᵀ y = √p ⊙ (y - p · y): products with B and Bᵀ, without the matrix.
    def factor(outputs: Array) -> Array:
        weighted = root * outputs * counted
        return weighted - p * jnp.sum(weighted, axis=-1, keepdims=True)

    def factor_transposed(change: Array) -> Array:
        return counted * root * (change - jnp.sum(p * change, axis=-1, keepdims=True))

    return Curvature(lambda vector: factor_transposed(push(vector)), lambda outputs: pull(factor(outputs)))


def squared(network: Parametric, data: Dataset) -> Curvature:
    """Jᵀ P J with the root P J; outputs (n, t, v)."""
    _, push, pull = _linear(network, lambda network: network.predict(data.tokens))
    counted = data.mask[..., None]

    def centred(outputs: Array) -> Array:
        return counted * (outputs - jnp.mean(outputs, axis=-1, keepdims=True))

    return Curvature(lambda vector: centred(push(vector)), lambda outputs: pull(centred(outputs)))


def fisher(network: Parametric, data: Dataset) -> Curvature:
    """Σ_i g_i g_iᵀ with the root of rows g_iᵀ; outputs (n,)."""
    _, push, pull = _linear(network, lambda network: log_likelihood(network, data))
    return Curvature(push, pull)


def hessian(network: Parametric, data: Dataset) -> Product:
    """v -> ∇² Σ ℓ v, by differentiating the gradient forward."""
    return jax.linearize(jax.grad(_loss(network, data)), network.params)[1]


def gradient(network: Parametric, data: Dataset) -> Params:
    """∇ Σ ℓ, a pytree like the weights: Jᵀ (p - y)."""
    return jax.grad(_loss(network, data))(network.params)


def inverse_root(metric: Metric) -> Product:
    """v -> Λ^-½ v for a metric Λ: None (identity), a positive pytree like the weights, or a `Kronecker`."""
    if metric is None:
        return lambda vector: vector
    if isinstance(metric, Kronecker):
        return lambda vector: metric.power(vector, -0.5)

    def scale(vector: Params) -> Params:
        if jax.tree.structure(metric) != jax.tree.structure(vector):
            raise Misuse(
                "The metric must have an entry for every weight; got the tree "
                f"{jax.tree.structure(metric)} for weights {jax.tree.structure(vector)}."
            )
        return jax.tree.map(lambda diagonal, leaf: leaf * diagonal**-0.5, metric, vector)

    return scale


def krylov(
    product: Callable[[Array], Array], vector: Float[Array, " p"], iterations: int
) -> tuple[Float[Array, "k p"], Float[Array, "k k"]]:
    """An orthonormal basis V (rows) of v, Cv, C²v ... and V C Vᵀ, tridiagonal: C is about Vᵀ (V C Vᵀ) V.

    C is symmetric. k products; where they leave the space no more to grow, the last rows are 0.
    """
    count = min(iterations, vector.size)
    tiny = 10 * jnp.finfo(vector.dtype).eps

    def step(
        carry: tuple[Float[Array, "rows p"], Float[Array, ""]], row: Int[Array, ""]
    ) -> tuple[tuple[Float[Array, "rows p"], Float[Array, ""]], tuple[Float[Array, ""], Float[Array, ""]]]:
        basis, scale = carry
        image = product(basis[row])
        diagonal, remainder = basis[row] @ image, image
        for _ in range(2):  # a single pass leaves rounding errors of the size of the overlap
            remainder = remainder - _combine(_overlaps(basis, remainder), basis)
        size = jnp.linalg.norm(remainder)
        scale = jnp.maximum(scale, jnp.abs(diagonal) + size)
        # A remainder of rounding errors: the Krylov space is exhausted, and zeros end it, since a scan
        # cannot stop early. The inner `where` keeps 1/0 out of a gradient through this.
        size = jnp.where(size > tiny * scale, size, 0.0)
        basis = basis.at[row + 1].set(
            remainder * jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1.0), 0.0)
        )
        return (basis, scale), (diagonal, size)

    length = jnp.linalg.norm(vector)
    first = vector / jnp.where(length > 0, length, 1.0)
    basis = jnp.zeros((count + 1, vector.size), vector.dtype).at[0].set(first)
    (basis, _), (diagonal, off_diagonal) = jax.lax.scan(
        step, (basis, jnp.zeros_like(length)), jnp.arange(count)
    )
    tridiagonal = jnp.diag(diagonal) + jnp.diag(off_diagonal[:-1], 1) + jnp.diag(off_diagonal[:-1], -1)
    return basis[:-1], tridiagonal


def modes(product: Product, vector: Params, iterations: int) -> tuple[Float[Array, " k"], Params]:
    """Curvatures h (k,) and components (k, ...) of a vector: Σ_j v_j = v, and Σ_j f(h_j) v_j ≈ f(C) v.

    C is symmetric and not negative. Exact where f is a polynomial of degree below k, and for every f once k
    reaches the number of distinct curvatures in v; between, the error falls like that of the best
    polynomial. In single precision curvatures below about 1e-6 of the largest are noise.
    """
    flat, shaped = ravel_pytree(vector)
    basis, tridiagonal = krylov(lambda row: ravel_pytree(product(shaped(row)))[0], flat, iterations)
    values, vectors = eigh(tridiagonal)
    components = _combine((jnp.linalg.norm(flat) * vectors[0] * vectors).T, basis)
    return jnp.maximum(values, 0.0), jax.vmap(shaped)(components)


def apply(function: Callable[[Array], Array], product: Product, vector: Params, iterations: int) -> Params:
    """f(C) v by k = `iterations` products, for an elementwise f of curvatures: see `modes`."""
    values, components = modes(product, vector, iterations)
    sizes = function(values)
    return jax.tree.map(lambda leaf: jnp.tensordot(sizes, leaf, 1), components)


def _linear(
    network: Parametric, read: Callable[[Parametric], Array]
) -> tuple[Array, Callable[[Params], Array], Callable[[Array], Params]]:
    """`read(network)`, and its Jacobian in the weights, forwards and transposed."""
    value, push = jax.linearize(lambda params: read(network.with_params(params)), network.params)
    pull = jax.linear_transpose(push, network.params)
    return value, push, lambda outputs: pull(outputs)[0]


def _loss(network: Parametric, data: Dataset) -> Callable[[Params], Array]:
    return lambda params: -jnp.sum(log_likelihood(network.with_params(params), data))


def _overlaps(basis: Array, vector: Array) -> Array:
    return jnp.matmul(basis, vector, precision="highest")


def _combine(sizes: Array, basis: Array) -> Array:
    return jnp.matmul(sizes, basis, precision="highest")
