"""Automatic step size, warm-up and prior precision of a localised posterior.

step size        h = 2 arcsin(s / √(1 + λ)), λ the largest eigenvalue of the Hessian of βΣℓ in scaled
                 coordinates: at s = 1 the direction of largest curvature becomes unstable. Of several shares
                 s, the largest at which the hypothetical Metropolis check of a short chain accepts as often
                 as the target asks, and at all smaller ones
warm-up          6 / (κ h) steps: amplitudes decay as e^{-κt/2}, so 5 % of the start is left
prior precision  the temperature of a localised posterior is given by its cost: T nats a position is the mean
                 KL(base ‖ sample) of weights sampled from the prior alone, w0 + (γΛ)^-½ ξ. That is the
                 increase of the base loss on documents as the base itself would generate them: it cannot be
                 negative, and labels add no noise. γ(T) comes from a curve of exact samples in antithetic
                 pairs (odd orders cancel)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, Parametric, Params, mean_loss
from theory.compute.random import normals
from theory.divergence.kl import kl

TARGET = 0.6  # acceptance
WIDTHS = np.logspace(-4.5, 0.0, 19)  # of the prior, in root mean square, at which its cost is measured


@dataclass(frozen=True)
class StepChoice:
    """A step size, its acceptance, the warm-up that it needs, and the reason of the choice in words."""

    step_size: float
    acceptance: float
    warmup: int
    reason: str


def curvature(
    network: Parametric, data: Dataset, metric: Params, time: Beta, key: PRNGKeyArray, iterations: int = 12
) -> Float[Array, ""]:
    """Largest |eigenvalue| of the Hessian of the mean loss of D' in coordinates Λ^½ (w - w0), by power
    iteration from below; times τ = βN/γ it is λ. The larger of that at w0 and that a step away, as far
    towards D' as the learning-rate time τ = `time` allows: in a metric of D' itself curvature grows on the
    way."""
    base, shaped = ravel_pytree(network.params)
    scale = _scale(network, metric)

    def loss(moved: Float[Array, " p"]) -> Float[Array, ""]:
        return mean_loss(network.with_params(shaped(base + scale * moved)), data)

    # One scan serves both points, so that the Hessian product is compiled once. Half-way, when the curvature
    # h at w0 is known, the point moves by -τ g / (1 + τ h): a Newton step in the posterior, were all its
    # curvature h.
    def power(
        carry: tuple[Float[Array, " p"], Float[Array, " p"]], last_at_base: Bool[Array, ""]
    ) -> tuple[tuple[Float[Array, " p"], Float[Array, " p"]], Float[Array, ""]]:
        point, vector = carry
        gradient, image = jax.jvp(jax.grad(loss), (point,), (vector,))
        size = jnp.linalg.norm(image)
        point = jnp.where(last_at_base, -time / (1 + time * size) * gradient, point)
        return (point, image / size), size

    vector = normals(key, network.params)
    last_at_base = jnp.arange(2 * iterations) == iterations - 1
    sizes = jax.lax.scan(power, (jnp.zeros_like(base), vector / jnp.linalg.norm(vector)), last_at_base)[1]
    return jnp.maximum(sizes[iterations - 1], sizes[-1])


def stable_step(
    curvatures: ArrayLike | Sequence[float], share: ArrayLike | Sequence[float] = 0.5
) -> np.ndarray:
    """The step at a share of the stability limit of each λ, about 2 × share / √(1 + λ)."""
    return np.asarray(2 * np.arcsin(np.asarray(share) / np.sqrt(1 + np.asarray(curvatures, float))))


def choose_step(
    steps: Sequence[float], acceptance: Sequence[float], target: float = TARGET, friction: float = 1.0
) -> StepChoice:
    """The largest of `steps` at which, and at every smaller one, the acceptance is at least `target`.

    Where there is none, the smallest, and the reason states it: the diagnostics then report the acceptance.
    """
    if not 0 < target < 1:
        raise Misuse(f"The target acceptance must be between 0 and 1, got {target}.")
    order = np.argsort(steps)
    good = 0
    # Upwards until the first that fails: with a short, noisy chain a larger step may pass by luck.
    for index in order:
        if not acceptance[index] >= target:
            break
        good += 1
    best = int(order[max(good - 1, 0)])
    step, accepted = float(steps[best]), float(acceptance[best])
    warmup = int(np.ceil(6 / (friction * step)))
    if good:
        above = (
            f", {float(acceptance[order[good]]):.2f} one step up" if good < len(order) else ", the largest"
        )
        reason = f"h = {step:.3g}: acceptance {accepted:.2f}{above} (target {target})"
    else:
        reason = (
            f"h = {step:.3g}, the smallest tried, misses the target: acceptance {accepted:.2f} < {target}"
        )
    return StepChoice(step, accepted, warmup, f"{reason}; warm-up {warmup} steps")


def prior_costs(
    network: Parametric, documents: Dataset, metric: Params, key: PRNGKeyArray, pairs: int = 4
) -> Float[Array, " widths"]:
    """Mean KL(base ‖ sample) (nats a counted position) for noise of each of WIDTHS times Λ^-½ (made unit in
    root mean square), over `pairs` antithetic pairs of samples. Of the documents only the contexts matter."""
    weights, shaped = ravel_pytree(network.params)
    scale = _scale(network, metric)
    scale /= jnp.sqrt(jnp.mean(scale**2))
    base, counted = network.predict(documents.tokens), jnp.sum(documents.mask)

    def cost(width: Array, index: Array) -> Array:
        noise = normals(jax.random.fold_in(key, index // 2), network.params)
        moved = weights + (1.0 - 2.0 * (index % 2)) * width * scale * noise
        sample = network.with_params(shaped(moved)).predict(documents.tokens)
        return jnp.sum(jnp.where(documents.mask, kl(base, sample), 0.0)) / counted

    grid = (jnp.repeat(WIDTHS, 2 * pairs), jnp.tile(jnp.arange(2 * pairs), len(WIDTHS)))
    costs = jax.lax.map(lambda row: cost(*row), grid)
    return jnp.mean(costs.reshape(len(WIDTHS), -1), axis=1)


def prior_precision_for(
    costs: ArrayLike | Sequence[float], temperatures: Sequence[float], metric: Params
) -> list[float]:
    """γ at which the localised prior costs each of `temperatures`, in nats a position.

    `costs` is the result of `prior_costs`, interpolated between its widths by log-log lines; raises `Misuse`
    for a cost that no width reaches.
    """
    # Costs grow with the width but for sampling noise; interpolation needs a curve that does not fall.
    curve = np.maximum.accumulate(np.maximum(np.asarray(costs, float), 1e-12))
    squares = [1 / np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(metric)]  # none: identity
    norm = np.sqrt(np.mean(np.concatenate(squares))) if squares else 1.0
    precisions = []
    for cost in temperatures:
        if not curve[0] < cost < curve[-1]:
            raise Misuse(
                f"No prior precision makes the localised prior cost {cost} nats (widths tried: "
                f"{curve[0]:.2g} to {curve[-1]:.2g}); ask for another temperature."
            )
        width = np.exp(np.interp(np.log(cost), np.log(curve), np.log(WIDTHS)))
        precisions.append(float((norm / width) ** 2))
    return precisions


def _scale(network: Parametric, metric: Params) -> Float[Array, " p"]:
    """Λ^-½ of every weight, in a vector."""
    return ravel_pytree(jax.tree.map(jnp.ones_like, network.params) if metric is None else metric)[0] ** -0.5
