"""The second-order expansion of a network in its weights along one displacement, and its size.

    f(w0 + d) = f(w0) + J d + ½ dᵀ H d + ...,      f log-probabilities of the next token
    κ² = Σ_c Var_{p_c}(½ dᵀ H d) / Σ_c Var_{p_c}(J d),      p the answers at w0

A change u of log-probabilities moves a prediction p by KL(p ‖ p e^u / Z) = ½ Var_p(u) to second order, so the
norm of κ is that of KL, and blind to what normalises an answer. Where a network moves by d, whether it is
followed to first or to second order, the linear theory leaves ½ Σ Var(½ dᵀ H d) of ½ Σ Var(J d) unexplained:
to leading order κ² is 1 - explained. That the network itself also moves by another d than its expansion does
is an error of the same order, which κ does not know.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theory.base import LogProbs, Parametric, Params, Tokens
from theory.divergence.kl import renormalised


def taylor(network: Parametric, displacement: Params, tokens: Tokens) -> tuple[LogProbs, LogProbs, LogProbs]:
    """f(w0), J d and dᵀ H d at every token; no Jacobian is made, as these are derivatives along d."""

    def along(size: Float[Array, ""]) -> LogProbs:
        weights = jax.tree.map(lambda leaf, step: leaf + size * step, network.params, displacement)
        return network.with_params(weights).predict(tokens)

    def with_slope(size: Float[Array, ""]) -> tuple[LogProbs, LogProbs]:
        return jax.jvp(along, (size,), (jnp.ones_like(size),))

    start = jnp.zeros(())
    (value, slope), (_, curvature) = jax.jvp(with_slope, (start,), (jnp.ones_like(start),))
    return value, slope, curvature


def spread(change: Float[Array, "*s a"], base: Float[Array, "*s a"]) -> Float[Array, "*s"]:
    """Var_p(u) (nats²) of a change u under answers p = exp(base), normalised here: twice its KL."""
    p = jax.nn.softmax(base, axis=-1)
    centred = change - jnp.sum(p * change, axis=-1, keepdims=True)
    return jnp.sum(p * jnp.square(centred), axis=-1)


def orders(
    network: Parametric, weights: Params, tokens: Tokens, answers: slice
) -> tuple[Float[Array, "d n t"], Float[Array, "d n t"]]:
    """Var_p(J d) and Var_p(½ dᵀ H d) (nats²) of the answers, at every token, along the displacements from the
    network's weights to each of `weights` (d, ...)."""

    def single(weights: Params) -> tuple[Array, Array]:
        displacement = jax.tree.map(jnp.subtract, weights, network.params)
        value, slope, curvature = (part[..., answers] for part in taylor(network, displacement, tokens))
        base = renormalised(value)
        return spread(slope, base), spread(curvature / 2, base)

    return jax.lax.map(single, weights)


def relative_size(network: Parametric, weights: Params) -> Float[Array, " d"]:
    """‖w - w0‖ / ‖w0‖ of each of `weights` (d, ...), Euclidean."""

    def square(tree: Params) -> Array:
        return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), jnp.zeros(()))

    def single(weights: Params) -> Array:
        return jnp.sqrt(square(jax.tree.map(jnp.subtract, weights, network.params)) / square(network.params))

    return jax.vmap(single)(weights)
