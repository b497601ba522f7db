"""Noise of minibatch gradients against the noise that a kernel injects.

    ratio along v = gain × vᵀ C v,      C the covariance of the gradient, v a unit direction

in scaled coordinates; gain is the kernel's `noise_gain` (ε/2 for SGLD). It is the variance that gradient
noise adds to a step over the injected variance: along v the chain has temperature 1 + ratio, and on a
Gaussian a variance 1 + ratio times too large. No R̂ sees it, since all chains agree. Axes: c chains,
b minibatches, p coordinates.
"""

import warnings
from typing import SupportsFloat

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BATCHES = 128  # at each position
WARNED = 0.5  # at which a run warns of itself: standard deviations are a fifth too large
ITERATIONS = 20


def worst_ratio(deviations: Float[Array, "c b p"]) -> Float[Array, ""]:
    """The ratio in the worst direction, from gradients less their means, times √gain."""
    # The direction is sought in one half of the minibatches and measured in the other: measured where it was
    # sought, the worst direction would be noisier by chance.
    half, size = deviations.shape[1] // 2, deviations.shape[2]
    seek, measure = (
        (part - jnp.mean(part, axis=1, keepdims=True)).reshape(-1, size)
        for part in (deviations[:, :half], deviations[:, half : 2 * half])
    )

    def power(_: Int[Array, ""], direction: Float[Array, " p"]) -> Float[Array, " p"]:
        return _unit(seek.T @ (seek @ direction))

    start = _unit(seek[jnp.argmax(jnp.sum(seek**2, axis=1))])
    along = measure @ jax.lax.fori_loop(0, ITERATIONS, power, start)
    return jnp.sum(along**2) / (deviations.shape[0] * (half - 1))


def mean_ratios(deviations: Float[Array, "c b p"]) -> Float[Array, " p"]:
    """The ratio of every coordinate, from gradients less their means, times √gain."""
    return jnp.sum(deviations**2, axis=(0, 1)) / (deviations.shape[0] * (deviations.shape[1] - 1))


def warn(name: str, ratio: SupportsFloat) -> None:
    """Warn of a kernel whose gradient noise is not small after warm-up."""
    if float(ratio) > WARNED:
        warnings.warn(
            f"After the warm-up of {name} gradient noise is {float(ratio):.2g} times the injected noise in "
            f"the worst direction, so variances there are about {1 + float(ratio):.2g} times too large; take "
            "a smaller step_size, larger minibatches or a control variate.",
            stacklevel=2,
        )


def _unit(direction: Float[Array, " p"]) -> Float[Array, " p"]:
    size = jnp.linalg.norm(direction)
    return jnp.where(size > 0, direction / jnp.where(size > 0, size, 1.0), direction)
