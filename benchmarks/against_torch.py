"""The same transformer in PyTorch eager: forward, backward and AdamW, milliseconds a step of all networks.

Same architecture, weights, documents (drawn beforehand for both) and number of threads. PyTorch gets its own
best: an embedding lookup, `scaled_dot_product_attention`, fused AdamW. It trains four networks one after the
other; here they run side by side. Before any timing the two must agree on the losses of the first steps.
PyTorch is no dependency: where it is not installed this says so and measures nothing.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import _torch_reference
from benchmarks._timing import interleaved, row
from experiments.studies import weird_generalisation as study
from models.network import Network, build
from theory.base import Dataset, mean_loss
from theory.compute.devices import sharded

STEPS, RATE, DECAY = 25, 1e-3, 0.01
CASES = {1: "one network", 4: "four networks"}


def measure(seconds: float) -> list[dict[str, Any]]:
    """Our milliseconds a step, and PyTorch's over ours, for one network and for four."""
    try:
        import torch
    except ImportError:
        return [row("skipped: PyTorch is not installed (pip install torch)", None, "")]
    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    experiment = study.experiment(study.PRESETS["small"])
    runs = {}
    for networks, name in CASES.items():
        process = experiment.process
        stacked = build(experiment.shape, process.vocabulary, process.length, range(networks))
        keys = jax.random.split(jax.random.key(0), (networks, STEPS))
        sample = jax.vmap(
            jax.vmap(lambda key: experiment.process.distribution().sample(key, experiment.pretraining.batch))
        )
        tokens = np.asarray(sample(keys))
        ours, theirs = _ours(stacked, tokens), _theirs(torch, stacked, experiment.shape, tokens)
        _agree(ours(), theirs())
        runs |= {f"AdamW step, {name}": ours, f"PyTorch, {name}": theirs}
    timings = interleaved(runs, seconds)
    rows = []
    for name in CASES.values():
        ours, theirs = timings[f"AdamW step, {name}"], timings[f"PyTorch, {name}"]
        rows.append(row(f"PyTorch {torch.__version__}, {name}", 1e3 * theirs / STEPS, "ms"))
        rows.append(
            row(f"AdamW step, {name}", 1e3 * ours / STEPS, "ms", f"PyTorch, {name}", theirs / ours, "≥ 1.5")
        )
    return rows


def _agree(ours: Any, theirs: Any) -> None:
    """Same loss (nats) from the same weights, and still the same after five steps of AdamW."""
    np.testing.assert_allclose(np.asarray(ours)[:, 0], theirs[:, 0], atol=1e-4)
    np.testing.assert_allclose(np.asarray(ours)[:, :6], theirs[:, :6], atol=1e-3)


def _ours(stacked: Network, tokens: np.ndarray) -> Callable[[], Any]:
    """A call takes `STEPS` steps of every network in one `lax.scan`; returns losses (network, step)."""
    optimizer = optax.adamw(RATE, weight_decay=DECAY)

    def train(state: Any, tokens: Any) -> Any:
        def loss(params: Any, tokens: Any) -> Any:
            return mean_loss(stacked.with_params(params), Dataset(tokens, jnp.ones(tokens.shape, bool)))

        def step(state: Any, tokens: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(state[0], tokens)
            updates, moments = optimizer.update(gradient, state[1], state[0])
            return (optax.apply_updates(state[0], updates), moments), value

        return jax.lax.scan(step, state, tokens)

    program, put = sharded(train, tokens.shape[0], shared=0, mapped=2, donate=(0,))
    carry = [put((stacked.params, jax.vmap(optimizer.init)(stacked.params)))]
    tokens = put(tokens)

    def run() -> Any:
        carry[0], losses = program(carry[0], tokens)
        return losses

    return run


def _theirs(torch: Any, stacked: Network, shape: Any, tokens: np.ndarray) -> Callable[[], Any]:
    """The same call in PyTorch, one network after the other."""
    networks = []
    for index in range(tokens.shape[0]):
        network = stacked.with_params(jax.tree.map(lambda leaf, index=index: leaf[index], stacked.params))
        weights = _torch_reference.weights(torch, network)
        optimizer = torch.optim.AdamW(weights.values(), lr=RATE, weight_decay=DECAY, fused=True)
        networks.append((weights, optimizer, torch.tensor(tokens[index], dtype=torch.int64)))

    def step(weights: Any, optimizer: Any, batch: Any) -> Any:
        loss = _torch_reference.mean_loss(torch, weights, batch, shape.layers, shape.heads)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def run() -> np.ndarray:
        losses = [[step(*trained, batch) for batch in batches] for *trained, batches in networks]
        return np.asarray([[float(loss) for loss in row] for row in losses])

    return run
