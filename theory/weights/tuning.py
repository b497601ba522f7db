"""Step size, warm-up and prior precision of a localised posterior, without art: from a short pilot.

step size   h = 2 arcsin(s / √(1 + λ)), λ the largest eigenvalue of the Hessian of βΣℓ in scaled coordinates:
            where s = 1 the stiffest direction becomes unstable. Of shares s half an octave apart, the largest
            that keeps the acceptance of the hypothetical Metropolis check of a short chain at or above the
            target, as do all smaller ones
warm-up     6 / (κ h) steps: amplitudes decay as e^{-κt/2}, so 5 % of where the chain started is left
prior precision   the temperature of a localised posterior is told by what it costs: T nats a position is
the mean
            KL(base ‖ drawn) of weights drawn from the prior alone, w0 + (γΛ)^-½ ξ. That is the rise of the
            base loss on documents as the base itself would write them: it cannot be negative, and labels add
            no noise. γ(T) is read off a curve of exact draws in opposite pairs (odd orders cancel)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Dataset, Misuse, Parametric, mean_loss
from theory.compute.random import normals
from theory.divergence.kl import kl

STEPS = 2.0 ** -np.arange(0.0, 4.5, 0.5)
TARGET = 0.6
WIDTHS = np.logspace(-4.5, 0.0, 19)


@dataclass(frozen=True)
class StepChoice:
    """A step size, the acceptance there, the warm-up it asks for, and the reason in words."""

    step_size: float
    acceptance: float
    warmup: int
    reason: str


def curvature(
    network: Parametric, data: Dataset, metric: Any, time: Any, key: PRNGKeyArray, iterations: int = 12
) -> Float[Array, ""]:
    """Largest |eigenvalue| of the Hessian of the mean loss of D' in coordinates Λ^½ (w - w0), by power
    iteration from below; times τ = βN/γ it is λ. The larger of that at w0 and that one step away, as far
    towards D' as τ = `time` allows: in a metric of D' itself curvature grows on the way."""
    base, shaped = ravel_pytree(network.params)
    scale = _scale(network, metric)

    def loss(moved: Array) -> Array:
        return mean_loss(network.with_params(shaped(base + scale * moved)), data)

    def power(carry: Any, second: Array) -> tuple[Any, Array]:
        point, vector = carry
        slope, bent = jax.jvp(jax.grad(loss), (point,), (vector,))
        size = jnp.linalg.norm(bent)
        point = jnp.where(second, -time / (1 + time * size) * slope, point)
        return (point, bent / size), size

    vector = normals(key, network.params)
    turn = jnp.arange(2 * iterations) == iterations - 1
    sizes = jax.lax.scan(power, (jnp.zeros_like(base), vector / jnp.linalg.norm(vector)), turn)[1]
    return jnp.maximum(sizes[iterations - 1], sizes[-1])


def stable_step(curvatures: Any, share: Any = 0.5) -> np.ndarray:
    """The step at a share of the stability limit of each λ, about 2 × share / √(1 + λ)."""
    return np.asarray(2 * np.arcsin(np.asarray(share) / np.sqrt(1 + np.asarray(curvatures, float))))


def choose_step(
    steps: Sequence[float], acceptance: Sequence[float], target: float = TARGET, friction: float = 1.0
) -> StepChoice:
    """The largest of the descending `steps` from which on every acceptance is at least `target`.

    Where none is, the smallest is taken, and the reason says so: a gate on the acceptance will find it.
    """
    if not 0 < target < 1:
        raise Misuse(f"The target acceptance must be between 0 and 1, got {target}.")
    order = np.argsort(steps)
    good = 0
    for index in order:
        if not acceptance[index] >= target:
            break
        good += 1
    best = int(order[max(good - 1, 0)])
    step, told = float(steps[best]), float(acceptance[best])
    warmup = int(np.ceil(6 / (friction * step)))
    if good:
        above = (
            f", {float(acceptance[order[good]]):.2f} one step up" if good < len(order) else ", the largest"
        )
        reason = f"h = {step:.3g}: acceptance {told:.2f}{above} (target {target})"
    else:
        reason = f"h = {step:.3g}, the smallest tried, misses the target: acceptance {told:.2f} < {target}"
    return StepChoice(step, told, warmup, f"{reason}; warm-up {warmup} steps")


def pilot(
    acceptance: Callable[[float], float],
    steps: Sequence[float] = tuple(STEPS),
    target: float = TARGET,
    friction: float = 1.0,
    say: Callable[[str], None] = print,
) -> StepChoice:
    """Try every step with `acceptance(h)`, a short chain's mean acceptance, say what was chosen and why."""
    choice = choose_step(steps, [acceptance(float(step)) for step in steps], target, friction)
    say(f"pilot: {choice.reason}")
    return choice


def prior_costs(
    network: Parametric, documents: Dataset, metric: Any, key: PRNGKeyArray, pairs: int = 4
) -> Float[Array, " widths"]:
    """Mean KL(base ‖ drawn) (nats a counted position) for noise of each of WIDTHS times Λ^-½ (made unit in
    root mean square), over `pairs` opposite pairs of draws. Of the documents only the contexts matter."""
    weights, shaped = ravel_pytree(network.params)
    scale = _scale(network, metric)
    scale /= jnp.sqrt(jnp.mean(scale**2))
    base, counted = network.predict(documents.tokens), jnp.sum(documents.mask)

    def cost(width: Array, index: Array) -> Array:
        noise = normals(jax.random.fold_in(key, index // 2), network.params)
        moved = weights + (1.0 - 2.0 * (index % 2)) * width * scale * noise
        drawn = network.with_params(shaped(moved)).predict(documents.tokens)
        return jnp.sum(jnp.where(documents.mask, kl(base, drawn), 0.0)) / counted

    grid = (jnp.repeat(WIDTHS, 2 * pairs), jnp.tile(jnp.arange(2 * pairs), len(WIDTHS)))
    costs = jax.lax.map(lambda row: cost(*row), grid)
    return jnp.mean(costs.reshape(len(WIDTHS), -1), axis=1)


def prior_precision_for(costs: Any, wanted: Sequence[float], metric: Any) -> list[float]:
    """γ at which the localised prior costs each of `wanted` nats.

    `costs` is what `prior_costs` returned; between its widths log-log lines; a cost that no width reaches
    is refused.
    """
    curve = np.maximum.accumulate(np.maximum(np.asarray(costs, float), 1e-12))
    squares = [1 / np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(metric)]  # none: identity
    norm = np.sqrt(np.mean(np.concatenate(squares))) if squares else 1.0
    found = []
    for cost in wanted:
        if not curve[0] < cost < curve[-1]:
            raise Misuse(
                f"No prior precision makes the localised prior cost {cost} nats (widths tried: "
                f"{curve[0]:.2g} to {curve[-1]:.2g}); ask for another temperature."
            )
        width = np.exp(np.interp(np.log(cost), np.log(curve), np.log(WIDTHS)))
        found.append(float((norm / width) ** 2))
    return found


def _scale(network: Parametric, metric: Any) -> Any:
    """Λ^-½ of every weight, in one vector."""
    return ravel_pytree(jax.tree.map(jnp.ones_like, network.params) if metric is None else metric)[0] ** -0.5
