"""The tangent kernel of a network's answers, and how far it carries learning from one context to another.

    K_{ca, c'a'} = J_ca Λ⁻¹ J_c'a'ᵀ,      J_ca the gradient of log p(a | c) less its mean over answers

A small step of a method with metric Λ on a loss of gradient r_c' in the outputs of context c' moves the
outputs of context c by -η K_cc' r_c'. Of the kernel between contexts of D' (D) and others (H):

    alignment  = mean_{i in D, h in H} tr K_ih / √(mean_i tr K_ii  mean_h tr K_hh)
    transfer   = r_Dᵀ K_DH r_H / √(r_Dᵀ K_DD r_D  r_Hᵀ K_HH r_H)

Alignment asks whether an answer that becomes likelier in D becomes likelier in H, whatever the hypothesis:
for orthogonal contexts 0, for one bias that all share 1. Transfer is the cosine, in the metric, of the
gradients of two losses, r = p - q for a loss that pulls p towards the answers q (of a hypothesis, say): the
drop of H's loss for a step on D's, over that of a step on H's own. Both lie in [-1, 1], by Cauchy-Schwarz.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from theory.base import Parametric, Params
from theory.weights.curvature import Metric, inverse_root

Kernel = Float[np.ndarray, "c a c a"]


def tangent_kernel(
    network: Parametric,
    tokens: Int[Array, "c t"],
    positions: Int[Array, " c"],
    answers: slice,
    metric: Metric = None,
) -> Float[Array, "c a c a"]:
    """K of the answers at one position of every document, in a metric (None: the identity).

    The gradients of all of them are held at once: c × a × the number of weights.
    """
    return kernel_of(tangent_features(network, tokens, positions, answers, metric))


def tangent_features(
    network: Parametric,
    tokens: Int[Array, "c t"],
    positions: Int[Array, " c"],
    answers: slice,
    metric: Metric = None,
) -> Float[Array, "c a p"]:
    """The gradients J_ca of the answers at one position of every document, times Λ^-½."""
    scale = inverse_root(metric)

    def read(params: Params, row: Array, position: Array) -> Float[Array, " a"]:
        log_probs = network.with_params(params).predict(row[None])[0, position, answers]
        return log_probs - jnp.mean(log_probs)

    def rows(context: tuple[Array, Array]) -> Float[Array, "a p"]:
        jacobian = jax.jacrev(read)(network.params, *context)
        return jax.vmap(lambda row: ravel_pytree(scale(row))[0])(jacobian)

    return jax.lax.map(rows, (jnp.asarray(tokens), jnp.asarray(positions)))


def kernel_of(features: Float[Array, "c a p"], metric: Params = None) -> Float[Array, "c a c a"]:
    """The kernel of gradients, in a diagonal metric (None: the identity)."""
    if metric is not None:
        ones = jax.tree.map(jnp.ones_like, metric)
        features = features * ravel_pytree(inverse_root(metric)(ones))[0]
    return jnp.einsum("cap,dbp->cadb", features, features, precision="highest")


def alignment(kernel: Kernel, left: Bool[np.ndarray, " c"], right: Bool[np.ndarray, " c"]) -> float:
    """Mean kernel between two sets of contexts, relative to that inside contexts; nan where one is empty or
    has no gradient."""
    traces = np.einsum("cada->cd", np.asarray(kernel, float))
    inside = np.diag(traces)
    if not left.any() or not right.any():
        return float("nan")
    size = np.sqrt(inside[left].mean() * inside[right].mean())
    return float(traces[np.ix_(left, right)].mean() / size) if size > 0 else float("nan")


def transfer(
    kernel: Kernel,
    residuals: Float[np.ndarray, "c a"],
    left: Bool[np.ndarray, " c"],
    right: Bool[np.ndarray, " c"],
) -> float:
    """Cosine of the gradients of two losses with output gradients `residuals`; nan where one vanishes."""
    values = np.asarray(kernel, float)
    forces = [np.where(part[:, None], np.asarray(residuals, float), 0.0) for part in (left, right)]
    ours, theirs, both = (
        np.einsum("ca,cadb,db->", first, values, second)
        for first, second in ((forces[0],) * 2, (forces[1],) * 2, forces)
    )
    size = np.sqrt(max(ours, 0.0) * max(theirs, 0.0))
    return float(both / size) if size > 0 else float("nan")
