"""Cost of a product with a curvature over that of a gradient of the same D'.

No matrix of parameters² is made.

    alone      the product by itself, with the evaluation of the network that it needs
    of a row   one of many at the same weights, as Lanczos takes them: the network is evaluated once for all

All of the same network and documents, in one program each; one device.
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from theory.weights.curvature import fisher, gauss_newton, gradient, hessian, squared

GRADIENT = "gradient"
GOAL = "≤ 3"


def measure(
    seconds: float = 15.0, *, width: int = 64, layers: int = 2, documents: int = 32, products: int = 16
) -> list[dict[str, Any]]:
    """Milliseconds a product, and the product over the gradient."""
    model = posterior(width, layers, documents, None)
    network, data = model.network, model.data
    start = jax.tree.map(lambda leaf: jnp.full_like(leaf, 1e-2), network.params)
    kinds = {
        "Hessian": hessian,
        "Gauss-Newton": lambda *arguments: gauss_newton(*arguments).product,
        "Fisher": lambda *arguments: fisher(*arguments).product,
        "squared": lambda *arguments: squared(*arguments).product,
        "kernel": lambda *arguments: squared(*arguments).kernel,
    }
    runs = {GRADIENT: _compiled(lambda params: gradient(network.with_params(params), data), network.params)}
    shape = jax.eval_shape(lambda: network.predict(data.tokens)).shape
    for name, kind in kinds.items():
        vector = jnp.full(shape, 1e-2) if name == "kernel" else start
        for count in (1, products):
            runs[_name(name, count)] = _compiled(
                _repeated(kind, network, data, count), network.params, vector
            )
    timings = interleaved(runs, seconds)
    rows = [row(GRADIENT, 1e3 * timings[GRADIENT], "ms")]
    for name in kinds:
        for count in (1, products):
            label = _name(name, count)
            product = timings[label] / count
            rows.append(row(label, 1e3 * product, "ms", GRADIENT, product / timings[GRADIENT], GOAL))
    return rows


def _name(kind: str, count: int) -> str:
    return f"{kind} product, " + ("alone" if count == 1 else f"of a row of {count}")


def _repeated(kind: Any, network: Any, data: Any, count: int) -> Any:
    """So many products one after the other, each with the last one's result."""

    def run(params: Any, vector: Any) -> Any:
        product = kind(network.with_params(params), data)
        step = lambda now, _: (jax.tree.map(lambda leaf: 1e-3 * leaf, product(now)), None)  # noqa: E731
        return jax.lax.scan(step, vector, length=count)[0]

    return run


def _compiled(function: Any, *arguments: Any) -> Any:
    program = jax.jit(function).lower(*arguments).compile()
    return lambda: program(*arguments)
