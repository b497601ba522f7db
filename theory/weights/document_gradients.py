"""Gradients of single documents, whose covariance is the noise of minibatches.

    u_i = (n / N) ∇ℓ_i,      C = Σ_i (u_i - ū)(u_i - ū)ᵀ / (n - 1),      ū = ∇L

ℓ_i is the loss of document i (nats), N the counted positions of all n documents, L the mean loss of a
position. Where every document counts as many positions, u_i is the gradient of its own mean loss, and the
gradient of a batch of B fresh documents has covariance C/B; that of B out of these n without replacement
C/B - C/n.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from theory.base import Dataset, Misuse, Parametric, check_number, log_likelihood
from theory.weights.curvature import Metric, inverse_root


def document_gradients(
    network: Parametric, data: Dataset, batch: int, metric: Metric = None
) -> Float[Array, "n p"]:
    """Λ^-½ u_i, a row for each document (nats per unit of weight, flattened).

    Refuses fewer than two documents, and batches that they cannot fill.
    """
    check_batch(data, batch)
    return gradient_rows(network, data, metric)


def gradient_rows(network: Parametric, data: Dataset, metric: Metric = None) -> Float[Array, "n p"]:
    """Λ^-½ u_i, of any number of documents."""
    scale, share = inverse_root(metric), data.tokens.shape[0] / jnp.sum(data.mask)

    def row(tokens: Array, mask: Array) -> Float[Array, " p"]:
        document = Dataset(tokens[None], mask[None])
        loss = lambda params: -jnp.sum(log_likelihood(network.with_params(params), document))  # noqa: E731
        return share * ravel_pytree(scale(jax.grad(loss)(network.params)))[0]

    return jax.lax.map(lambda pair: row(*pair), (jnp.asarray(data.tokens), jnp.asarray(data.mask)))


def check_batch(data: Dataset, batch: int) -> None:
    """Refuse fewer than two documents, and batches that they cannot fill."""
    count = data.tokens.shape[0]
    if count < 2:
        raise Misuse(f"The covariance of gradients needs at least two documents, got {count}.")
    check_number("batch", batch, whole=True)
    if not 1 <= batch <= count:
        raise Misuse(f"A batch must hold from 1 to the {count} documents of D', got {batch!r}.")


def total_variance(gradients: Float[Array, "n p"]) -> Float[Array, ""]:
    """tr C of rows u_i."""
    return jnp.sum(jnp.var(gradients, axis=0, ddof=1))
