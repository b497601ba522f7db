"""Parts of the inner loops by turns with what they replace: attention, and random numbers.

Attention is timed with its gradient, for 16 documents of ten and of 48 positions (4 heads of 16): in sums,
and in products of small matrices, which the transformer turns to above `UNROLLED` positions. Normal numbers
and rows of a minibatch are theory.compute.random against jax and NumPyro, which give the same bits;
categories, of seven, against jax's, which are others. One device.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import _subsample_fn

from benchmarks._timing import interleaved, row
from models.transformer import UNROLLED, attention, long_attention
from theory.compute.devices import compiler_options
from theory.compute.random import categorical, normal, rows

WEIGHTS, DOCUMENTS, CATEGORIES = 101_312, 512, 4096


def measure(
    seconds: float = 15.0, *, weights: int = WEIGHTS, positions: tuple[int, ...] = (10, 48), steps: int = 10
) -> list[dict[str, Any]]:
    """Milliseconds a call, and the time of what it replaces over it."""
    pairs: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {}
    for t in positions:
        sums, products = (_slopes(method, t, steps) for method in (attention, long_attention))
        labels = f"attention in sums, {t} positions", f"attention in products, {t} positions"
        ours, theirs = (labels, (sums, products)) if t <= UNROLLED else (labels[::-1], (products, sums))
        pairs[ours[0]] = (ours[1], *theirs)
    like = jnp.zeros(weights)
    pairs[f"{weights} normal numbers"] = (
        "jax.random.normal",
        drawn(normal, like, steps),
        drawn(lambda key, like: jax.random.normal(key, like.shape), like, steps),
    )
    like, even = jnp.zeros(CATEGORIES, int), jnp.zeros(7)
    pairs[f"{CATEGORIES} categories"] = (
        "jax.random.categorical",
        drawn(lambda key, like: categorical(key, even, like.shape), like, steps),
        drawn(lambda key, like: jax.random.categorical(key, even, shape=like.shape), like, steps),
    )
    for batch in (16, 128):
        like = jnp.zeros(batch, int)
        pairs[f"rows of a minibatch of {batch}"] = (
            f"NumPyro's, {batch}",
            drawn(lambda key, like: rows(DOCUMENTS, len(like), key), like, steps),
            drawn(lambda key, like: _subsample_fn(DOCUMENTS, len(like), key), like, steps),
        )
    runs = {name: ours for name, (_, ours, _) in pairs.items()}
    runs |= {other: theirs for other, _, theirs in pairs.values()}
    timings = interleaved(runs, seconds)
    table = []
    for name, (other, _, _) in pairs.items():
        ratio = timings[other] / timings[name]
        table.append(row(other, 1e3 * timings[other] / steps, "ms"))
        table.append(row(name, 1e3 * timings[name] / steps, "ms", other, ratio, "≥ 1"))
    return table


def _slopes(method: Callable[[Any], Any], t: int, steps: int) -> Callable[[], Any]:
    """So many steps of descent on what attention gives."""
    heads = jax.random.normal(jax.random.key(0), (3, 4, 16, t, 16))

    def step(heads: Any, _: Any) -> Any:
        value, slope = jax.value_and_grad(lambda heads: jnp.sum(jnp.sin(method(heads))))(heads)
        return heads - 1e-3 * slope, value

    descend = lambda heads: jax.lax.scan(step, heads, None, steps)[0]  # noqa: E731
    program = jax.jit(descend, compiler_options=compiler_options())
    return lambda: program(heads)


def drawn(draw: Callable[[Any, Any], Any], like: Any, steps: int) -> Callable[[], Any]:
    """So many draws `draw(key, like)`, added up."""
    keys = jax.random.split(jax.random.key(0), steps)
    program = jax.jit(lambda keys: jax.lax.scan(lambda sum, key: (sum + draw(key, sum), None), like, keys)[0])
    return lambda: program(keys)
