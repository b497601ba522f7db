"""The same chains by blackjax, of the same log density, minibatches and noise: chain-steps a second.

The posterior is that of a transformer of 100k weights, 16 documents of 24 tokens a minibatch. Ours runs as
`theory.mcmc.chains.run_chains` runs it, blackjax as its documentation has it: `sgld.step` or `mala.step` in a
`lax.scan`, vmapped over chains. Several chains lie on all devices here (each core of a CPU is one), on
one there; ours on one device is measured too. Before any timing the chains of SGLD must agree, key by key.
blackjax is a test extra: where it is not installed this says so and measures nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from theory.base import log_likelihood
from theory.compute.devices import batch_per_device, padded, sharded
from theory.mcmc.langevin import Langevin
from theory.samplers.mala import MALA
from theory.samplers.sgld import SGLD
from theory.weights.gibbs import Posterior

DOCUMENTS, STEP = 512, 1e-8


def measure(
    seconds: float = 15.0,
    *,
    width: int = 64,
    layers: int = 2,
    batch: int = 16,
    chains: int = 16,
    steps: int = 8,
) -> list[dict[str, Any]]:
    """Chain-steps a second, ours over blackjax's: SGLD one chain and many, MALA one chain."""
    try:
        import blackjax
    except ImportError:
        return [row("skipped: blackjax is not installed (pip install blackjax)", None, "")]
    model = posterior(width, layers, DOCUMENTS, None)
    start = model.weights()
    estimate, whole = _potentials(model, batch)
    sgld, mala = SGLD(potential_fn=estimate, step_size=STEP), MALA(potential_fn=whole, step_size=STEP)
    theirs, mala_theirs = _sgld(blackjax, estimate), _mala(blackjax, whole)
    many = f"{chains} chains"
    runs = {
        "SGLD, one chain": _ours(sgld, start, 1, steps, devices=1),
        "blackjax sgld, one chain": _theirs(theirs, start, 1, steps),
        f"SGLD, {many}": _ours(sgld, start, chains, steps),
        f"SGLD, {many}, one device": _ours(sgld, start, chains, steps, devices=1),
        f"blackjax sgld, {many}": _theirs(theirs, start, chains, steps),
        "MALA, one chain": _ours(mala, start, 1, steps, devices=1),
        "blackjax mala, one chain": _theirs(mala_theirs, start, 1, steps),
    }
    for count in ("one chain", many):
        jax.tree.map(_agree, runs[f"SGLD, {count}"](), runs[f"blackjax sgld, {count}"]())
    goals = {"SGLD, one chain": "≥ 1.0", f"SGLD, {many}": "≥ 1.3", "MALA, one chain": "≥ 1.0"}
    timings = interleaved(runs, seconds)
    rows = []
    for name, duration in timings.items():
        rate = (1 if "one chain" in name else chains) * steps / duration
        peer = "blackjax " + ", ".join(name.split(", ")[:2]).replace("SGLD", "sgld").replace("MALA", "mala")
        if name.startswith("blackjax"):
            rows.append(row(f"{name}, {blackjax.__version__}", rate, "steps/s"))
        else:
            rows.append(row(name, rate, "steps/s", peer, timings[peer] / duration, goals.get(name)))
    return rows


def _agree(ours: Any, theirs: Any) -> None:
    """The same positions: no closer to each other than to the start would fail, as chains move by 10⁻⁴."""
    np.testing.assert_allclose(np.asarray(ours)[: len(theirs)], np.asarray(theirs), atol=2e-6)


def _potentials(model: Posterior, batch: int) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    """(z, key) -> the potential of a minibatch, and z -> that of as many fixed documents."""

    def potential(z: Any, rows: Any) -> Any:
        data = jax.tree.map(lambda leaf: leaf[rows], model.data)
        likelihood = jnp.sum(log_likelihood(model.network.with_params(model.params(z)), data))
        away = sum(jnp.sum((z[name] - leaf) ** 2) for name, leaf in model.weights().items())
        return model.gamma / 2 * away - model.beta * DOCUMENTS / batch * likelihood

    def estimate(z: Any, key: Any) -> Any:
        return potential(z, jax.random.randint(key, (batch,), 0, DOCUMENTS))

    return estimate, lambda z: potential(z, jnp.arange(batch))


def _ours(
    kernel: Langevin, start: Any, chains: int, steps: int, devices: int | None = None
) -> Callable[[], Any]:
    """A call takes `steps` steps of every chain; returns the positions, a leading axis of chains."""

    def chain(state: Any) -> Any:
        return jax.lax.scan(lambda state, _: (kernel.sample(state), None), state, length=steps)[0].z

    rows = padded(chains) if devices is None else list(range(chains))
    begin = jax.jit(jax.vmap(lambda key: kernel.init(key, 0, start)))
    states = begin(_keys(rows))
    if devices is None:
        weights = sum(leaf.size for leaf in jax.tree.leaves(start))
        program, put = sharded(chain, len(rows), shared=0, mapped=1, batch=batch_per_device(weights))
        states = put(states)
    else:
        program = jax.jit(jax.vmap(chain))
    return lambda: program(states)


def _theirs(step: Any, start: Any, chains: int, steps: int) -> Callable[[], Any]:
    """The same call, from the same keys."""
    begin, advance = step

    def chain(state: Any, key: Any) -> Any:
        def once(carry: Any, _: Any) -> Any:
            key, now = jax.random.split(carry[1])
            return (advance(now, carry[0]), key), None

        state = jax.lax.scan(once, (state, key), length=steps)[0][0]
        return getattr(state, "position", state)

    states = jax.vmap(lambda _: begin(start))(jnp.arange(chains))
    first = jax.vmap(lambda key: jax.random.split(key)[0])(_keys(range(chains)))
    program = jax.jit(jax.vmap(chain))
    return lambda: program(states, first)


def _sgld(blackjax: Any, estimate: Callable[..., Any]) -> Any:
    """Their step, with the minibatch drawn inside: (start, (key, position) -> position)."""
    kernel = blackjax.sgld(jax.grad(lambda z, key: -estimate(z, key)))

    def advance(key: Any, position: Any) -> Any:
        rows, noise = jax.random.split(key)
        return kernel.step(noise, position, rows, STEP)

    return kernel.init, advance


def _mala(blackjax: Any, whole: Callable[[Any], Any]) -> Any:
    """Their step: (start, (key, state) -> state)."""
    kernel = blackjax.mala(lambda z: -whole(z), STEP)
    return kernel.init, lambda key, state: kernel.step(key, state)[0]


def _keys(rows: Any) -> Any:
    """A key for each row, as plain numbers."""
    return jnp.stack([jax.random.key_data(jax.random.fold_in(jax.random.key(0), row)) for row in rows])
