"""A Kronecker-factored Fisher information as a metric: for every weight matrix Λ = (L ⊗ R) / tr L + ε.

    L = mean_i G_i G_iᵀ,    R = mean_i G_iᵀ G_i,    G_i the gradient of document i's log-likelihood (nats)

It is one step of the power iteration for the best L ⊗ R in Frobenius norm, from the identity (Morwani et
al., arXiv 2406.17748: the square of what Shampoo, arXiv 1802.09568, divides by), and exact where the Fisher
information is a product. Layers are taken as independent. ε is `floor` × the mean of the diagonal over all
weights, as in theory.weights.diagonal_metrics: a direction without gradients would have no prior at all.

Stored for a matrix (a, b): two orthogonal matrices (a, a) and (b, b), and a value for every weight. An array
with other axes is a matrix of its last axis against all the others; a vector is a single row.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theory.base import Dataset, Misuse, Parametric, Params, PyTree, log_likelihood
from theory.compute.devices import eigh
from theory.weights.diagonal_metrics import FLOOR


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kronecker:
    """Λ by its eigenvectors: `left` (a, a), `right` (b, b) and `values` (a, b), pytrees like the weights."""

    left: Params
    right: Params
    values: Params

    def power(self, vector: Params, exponent: float) -> Params:
        """Λ^exponent v for v like the weights."""

        def power_of_leaf(left: Array, right: Array, values: Array, leaf: Array) -> Array:
            rotated = (left.T @ _matrix(leaf) @ right) * values**exponent
            return (left @ rotated @ right.T).reshape(leaf.shape)

        if jax.tree.structure(self.values) != jax.tree.structure(vector):
            raise Misuse(
                "The Kronecker metric must be made of the network it is used for; got factors for "
                f"{jax.tree.structure(self.values)} and weights {jax.tree.structure(vector)}."
            )
        return jax.tree.map(power_of_leaf, self.left, self.right, self.values, vector)


def kronecker(network: Parametric, documents: Dataset, floor: float = FLOOR) -> Kronecker:
    """The metric at the network's weights, from a gradient for each document."""
    if not floor > 0:
        raise Misuse(f"floor must be above 0, got {floor}: a direction without gradients would be free.")

    def add(sums: PyTree, row: Dataset) -> tuple[PyTree, None]:
        document = jax.tree.map(lambda leaf: leaf[None], row)
        gradient = jax.grad(lambda params: jnp.sum(log_likelihood(network.with_params(params), document)))
        matrices = jax.tree.map(_matrix, gradient(network.params))
        squares = (jax.tree.map(lambda m: m @ m.T, matrices), jax.tree.map(lambda m: m.T @ m, matrices))
        return jax.tree.map(jnp.add, sums, squares), None

    shapes = jax.tree.map(_matrix, network.params)
    empty = tuple(
        jax.tree.map(lambda m, axis=axis: jnp.zeros((m.shape[axis],) * 2, m.dtype), shapes) for axis in (0, 1)
    )
    sums, _ = jax.lax.scan(add, empty, jax.tree.map(jnp.asarray, documents))
    structure, count = jax.tree.structure(network.params), documents.tokens.shape[0]
    rows, columns = ([eigh(leaf / count) for leaf in jax.tree.leaves(side)] for side in sums)
    # tr L = tr R = Σ of the diagonal of (L ⊗ R) / tr L
    diagonal, size = (
        sum(jnp.sum(eigenvalues) for eigenvalues, _ in rows),
        sum(leaf.size for leaf in jax.tree.leaves(shapes)),
    )
    raised = floor * jnp.asarray(diagonal) / size + 1e-30
    values = [
        jnp.outer(jnp.maximum(row[0], 0.0), jnp.maximum(column[0], 0.0)) / jnp.maximum(jnp.sum(row[0]), 1e-30)
        + raised
        for row, column in zip(rows, columns, strict=True)
    ]
    vectors = ([eigenvectors for _, eigenvectors in side] for side in (rows, columns))
    return Kronecker(*(jax.tree.unflatten(structure, leaves) for leaves in (*vectors, values)))


def _matrix(leaf: Array) -> Float[Array, "a b"]:
    return leaf.reshape(-1, leaf.shape[-1] if leaf.ndim else 1)
