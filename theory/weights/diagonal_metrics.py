"""Diagonal metrics Λ of a localised posterior: the prior precision of each weight, relative to the others.

None          every weight alike: the metric of plain gradient descent
fisher        the diagonal Fisher information of pretraining documents, as in elastic weight consolidation
adam          √v̂ of Adam's second moments: a step -η m̂ / √v̂ is a gradient step in this metric, so that
              τ = η × steps is its training time (theory.md, section 3)

A share of the mean is added everywhere (`floor`): a weight without gradients would have no prior at all.
Metrics are not normalised.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from theory.base import Dataset, Misuse, Parametric, Params, PyTree, log_likelihood, mean_loss

FLOOR = 0.3


def fisher(network: Parametric, documents: Dataset, floor: float = FLOOR) -> Params:
    """Empirical Fisher information: the mean over documents of the squared gradient of a document's
    log-likelihood (nats²)."""

    def squared(row: Dataset) -> Params:
        document = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], row)
        gradient = jax.grad(lambda params: jnp.sum(log_likelihood(network.with_params(params), document)))
        return jax.tree.map(jnp.square, gradient(network.params))

    # A loop, not a vmap: the gradients of all documents at once could exceed the memory.
    return _raised(jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.lax.map(squared, documents)), floor)


def adam(
    network: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    learning_rate: float = 0.0,
    floor: float = FLOOR,
) -> Params:
    """√v̂ of Adam after `batches` of D' (mean loss of a counted position, decay 0.999, bias-corrected).

    With `learning_rate` 0 all moments are those of the base weights, before any finetuning; with the rate of
    a finetuning run they are those of that run after as many steps.
    """
    optimizer = optax.adam(learning_rate)

    def step(carry: PyTree, rows: Int[Array, " batch"]) -> tuple[PyTree, None]:
        params, state = carry
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], data)
        gradient = jax.grad(lambda params: mean_loss(network.with_params(params), batch))(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    (_, state), _ = jax.lax.scan(step, (network.params, optimizer.init(network.params)), batches)
    second_moments: Params = state[0].nu  # type: ignore[union-attr]
    corrected = jax.tree.map(lambda leaf: jnp.sqrt(leaf / (1 - 0.999 ** len(batches))), second_moments)
    return _raised(corrected, floor)


def _raised(metric: Params, floor: float) -> Params:
    if not floor > 0:
        raise Misuse(f"floor must be above 0, got {floor}: a weight without gradients would be free.")
    leaves = jax.tree.leaves(metric)
    mean = jnp.asarray(sum(jnp.sum(leaf) for leaf in leaves)) / sum(leaf.size for leaf in leaves)
    return jax.tree.map(lambda leaf: leaf + floor * mean + 1e-30, metric)
