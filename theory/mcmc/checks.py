"""Refusals of a kernel before any step: step sizes, scales and potentials that cannot be meant."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from theory.base import PyTree, check_number
from theory.errors import Misuse


def check_step(name: str, step_size: object) -> None:
    """Refuse a step size that is not a positive finite number (schedules and traced ones are not checked)."""
    if not callable(step_size):
        check_number(f"step_size of {name}", step_size, above=0.0)


def check_precision(name: str, position: PyTree) -> None:
    """Refuse a position in which small steps would be rounded away, or that has no gradient."""
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(position)} - {"float32", "float64"}
    if kinds:
        raise Misuse(
            f"The first position of {name} must be of float32 or float64, got {', '.join(sorted(kinds))}; "
            "convert it (leaf.astype(float))."
        )


def check_scale(name: str, scale: PyTree, position: PyTree) -> None:
    """Refuse a scale whose shapes are not those of the position."""
    if scale is None:
        return
    expected, given = (jax.tree.map(jnp.shape, tree) for tree in (position, scale))
    if expected != given:
        raise Misuse(f"scale of {name} must have the shapes of the position, {expected}, got {given}.")


def check_finite(name: str, energies: Array) -> None:
    """Refuse potentials (one for each chain) that are not finite."""
    if isinstance(energies, Tracer):
        return
    values = jnp.ravel(energies).tolist()
    bad = [index for index, value in enumerate(values) if not abs(value) < float("inf")]
    if bad:
        raise Misuse(
            f"The potential of {name} is not finite at the first position (chains {bad}); start elsewhere "
            "(init_params) or fix the potential."
        )


def is_random(function: Callable[..., Array] | None) -> bool:
    """Whether a potential takes a key besides the position."""
    if function is None:
        return False
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C has no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty]) >= 2


def is_traced(values: PyTree) -> bool:
    """Whether values cannot be looked at; under jit even a constant is a tracer."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((values, jnp.zeros(()))))
