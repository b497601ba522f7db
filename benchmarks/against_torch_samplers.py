"""SGLD by PyTorch libraries on the same transformer: devinterp (Lau et al.'s) and posteriors, steps a second.

Same architecture, weights, localised posterior and step size, 16 documents of 24 tokens a minibatch; 100k
weights. Theirs are PyTorch eager, one chain after the other, on minibatches drawn beforehand; ours draws its
own, and chains lie side by side on all devices (each core of a CPU is one). Before any timing the losses of a
minibatch must agree, and how far a chain has moved after a few steps (steps and noise have one convention).
Neither is a dependency: in an environment of their own,
`pip install torch==2.13.0 devinterp==2.0.1 posteriors==0.1.3`; what is not installed is skipped.
"""

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _torch_reference
from benchmarks._posterior import PAIRS
from benchmarks._timing import interleaved, row
from models.network import Network, build, first
from models.transformer import Architecture
from theory.base import Dataset, mean_loss
from theory.compute.devices import batch_per_device, padded, sharded
from theory.processes.persona_topics import PersonaTopics
from theory.samplers.sgld import SGLD

DOCUMENTS, GAMMA, STEP = 512, 1e4, 1e-8
CASES = {1: "one chain", 4: "four chains", 16: "16 chains"}
SHAPE = Architecture(width=64, layers=2)


def measure(
    seconds: float = 15.0, *, shape: Architecture = SHAPE, batch: int = 16, steps: int = 64
) -> list[dict[str, Any]]:
    """Chain-steps a second, ours over each of theirs, for one chain and for several: `steps` a call, however
    many chains share them, so that no call is over before threads of the one before have stopped spinning."""
    peers, skipped = {}, []
    for name, begin in {"devinterp": _devinterp, "posteriors": _posteriors}.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import_module(name)
            peers[f"{name} {version(name)}"] = begin
        except ImportError:
            skipped.append(row(f"skipped: {name} is not installed (pip install {name})", None, ""))
    if not peers:
        return skipped
    import torch

    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    process = PersonaTopics(pairs=PAIRS)
    network = first(build(shape, process.vocabulary, process.length, [0]))
    tokens = process.distribution().sample(jax.random.key(0), DOCUMENTS)
    runs: dict[str, Callable[[], Any]] = {}
    lengths = {chains: max(steps // chains, 1) for chains in CASES}
    for chains, many in CASES.items():
        length = lengths[chains]
        runs[f"SGLD, {many}"] = _ours(network, tokens, batch, chains, length)
        for name, begin in peers.items():
            runs[f"{name}, {many}"] = _theirs(torch, begin, network, tokens, batch, chains, length, shape)
    _agree(torch, network, tokens[:batch], shape, {name: run for name, run in runs.items() if "one" in name})
    timings = interleaved(runs, seconds)
    rows = []
    for chains, many in CASES.items():
        for name in peers:
            ours, theirs = timings[f"SGLD, {many}"], timings[f"{name}, {many}"]
            done = chains * lengths[chains]
            rows.append(row(f"{name}, {many}", done / theirs, "steps/s"))
            rate = done / ours
            rows.append(row(f"SGLD, {many}", rate, "steps/s", f"{name}, {many}", theirs / ours, "≥ 2"))
    return rows + skipped


def _agree(torch: Any, network: Network, tokens: Any, shape: Architecture, runs: Any) -> None:
    """The same loss of a minibatch (nats), and after a run the same distance from the start (to 3 %)."""
    ours = mean_loss(network, Dataset(tokens, jnp.ones(tokens.shape, bool)))
    documents = torch.tensor(np.asarray(tokens), dtype=torch.int64)
    with torch.no_grad():
        replica = _torch_reference.weights(torch, network)
        theirs = _torch_reference.mean_loss(torch, replica, documents, shape.layers, shape.heads)
    np.testing.assert_allclose(float(ours), float(theirs), atol=1e-4)
    distances = [float(np.asarray(run()).ravel()[0]) for run in runs.values()]
    np.testing.assert_allclose(distances, distances[0], rtol=0.03)


def _ours(network: Network, tokens: Any, batch: int, chains: int, steps: int) -> Callable[[], Any]:
    """A call takes `steps` steps of every chain from the start; returns how far each one is then."""
    mask = jnp.ones((batch, tokens.shape[1]), bool)

    def estimate(params: Any, key: Any) -> Any:
        rows = jax.random.randint(key, (batch,), 0, DOCUMENTS)
        loss = mean_loss(network.with_params(params), Dataset(tokens[rows], mask))
        return tokens.size * loss + GAMMA / 2 * _squared(params, network.params)

    kernel = SGLD(potential_fn=estimate, step_size=STEP)

    def chain(state: Any) -> Any:
        state = jax.lax.scan(lambda state, _: (kernel.sample(state), None), state, length=steps)[0]
        return jnp.sqrt(_squared(state.z, network.params))

    rows = padded(chains)
    keys = jnp.stack([jax.random.key_data(jax.random.key(chain)) for chain in rows])
    program, put = sharded(chain, len(rows), shared=0, mapped=1, batch=batch_per_device(network.size))
    states = put(jax.jit(jax.vmap(lambda key: kernel.init(key, 0, network.params)))(keys))
    return lambda: program(states)


def _theirs(
    torch: Any,
    begin: Callable[..., Any],
    network: Network,
    tokens: Any,
    batch: int,
    chains: int,
    steps: int,
    shape: Architecture,
) -> Callable[[], Any]:
    """The same call in PyTorch, one chain after the other."""
    rows = np.random.default_rng(0).integers(0, DOCUMENTS, (chains, steps, batch))
    documents = torch.tensor(np.asarray(tokens)[rows], dtype=torch.int64)
    start = _torch_reference.weights(torch, network)

    def loss(weights: Any, batch: Any) -> Any:
        return _torch_reference.mean_loss(torch, weights, batch, shape.layers, shape.heads)

    def run() -> np.ndarray:
        distances = []
        for chain in range(chains):
            weights = {name: leaf.detach().clone() for name, leaf in start.items()}
            moved = begin(torch, loss, weights, documents[chain], tokens.size)
            with torch.no_grad():
                distances.append(
                    float(sum(((moved[name] - start[name]) ** 2).sum() for name in start) ** 0.5)
                )
        return np.asarray(distances)

    return run


def _devinterp(torch: Any, loss: Callable[..., Any], weights: Any, batches: Any, size: int) -> Any:
    """Its optimiser. (ε/2) ∇U and √ε ξ: its learning rate is twice our step."""
    from devinterp.optim.sgmcmc import SGMCMC

    for leaf in weights.values():
        leaf.requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = SGMCMC.sgld(list(weights.values()), lr=2 * STEP, nbeta=float(size), localization=GAMMA)
    for batch in batches:
        sampler.zero_grad(set_to_none=True)
        loss(weights, batch).backward()
        sampler.step()
    return weights


def _posteriors(torch: Any, loss: Callable[..., Any], weights: Any, batches: Any, size: int) -> Any:
    """Its transform, updated in put. ε ∇U and √(2ε) ξ, as ours."""
    from posteriors.sgmcmc import sgld

    centre = {name: leaf.clone() for name, leaf in weights.items()}

    def log_posterior(weights: Any, batch: Any) -> Any:
        away = sum(((weights[name] - centre[name]) ** 2).sum() for name in centre)
        value = loss(weights, batch)
        return -size * value - GAMMA / 2 * away, value.detach()

    transform = sgld.build(log_posterior, lr=STEP)
    state = transform.init(weights)
    for batch in batches:
        state, _ = transform.update(state, batch, inplace=True)
    return state.params


def _squared(params: Any, centre: Any) -> Any:
    gaps = jax.tree.map(lambda now, then: jnp.sum((now - then) ** 2), params, centre)
    return sum(jax.tree.leaves(gaps))
