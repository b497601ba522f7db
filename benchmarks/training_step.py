"""The pretraining step at the demo's sizes, in floating-point operations against the machine's own best.

A step of one network counts (forward 2, backward twice that; documents × positions = tokens)

    6 × tokens × weights + 12 × layers × width × positions × tokens

weights: all matrices but the two lookups (embedding, positions), which need no arithmetic. The second term is
attention, QKᵀ and AV, 2 × width × positions each a token and layer, the masked half included as it is
computed. Sampling, Muon's iterations (matrix products of their own, which AdamW does not have), softmax and
norms count nothing: they are what lowers the share. The yardstick is a float32 1024 × 1024 matrix product in
the same run, on as many threads as there are devices: on a CPU a device is one thread. "products alone" are
the step's first term, the kernels one behind the other with nothing between them: their products are small,
and no network gets more. Rates are in GFLOP/s, times in ms.
"""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks._timing import interleaved, row
from benchmarks._torch_reference import PARTS
from experiments.studies import weird_generalisation as study
from models.network import build
from models.pretraining import pretrain
from theory.base import Dataset, mean_loss
from theory.compute.devices import sharded

STEPS, PRODUCTS, SIZE = 50, 5, 1024
ALL, ONE = "matrix product, all threads", "matrix product, one thread"


def measure(seconds: float) -> list[dict[str, Any]]:
    """Shares of the matrix-product rate for one network and for four, whole step and bare gradient."""
    experiment = study.experiment(study.PRESETS["small"])
    runs: dict[str, Callable[[], Any]] = {}
    for networks, where in {1: "one network, one device", 4: "four networks, all devices"}.items():
        for optimizer in ("muon", "adamw"):
            name = f"pretraining step, {optimizer}, {where}"
            runs[name] = _pretraining(experiment, networks, optimizer)
        runs[f"bare gradient step, {where}"] = _gradients(experiment, networks)
        runs[f"its products alone, {where}"] = _kernels(experiment, networks)
    with _products() as products:
        timings = interleaved(products | runs, seconds)
    best = {name: 2e-9 * PRODUCTS * SIZE**3 / timings[name] for name in products}
    rows = [row(name, rates, "GFLOP/s") for name, rates in best.items()]
    for name in runs:
        networks = 4 if "four" in name else 1
        against = ONE if networks == 1 and ONE in best else ALL
        rate = 1e-9 * networks * STEPS * operations(experiment, "step" in name) / timings[name]
        goal = "≥ 0.5" if name.startswith("pretraining") else None
        rows.append(row(name, rate, "GFLOP/s", against, rate / best[against], goal))
        rows.append(row(f"{name}, time", 1e3 * timings[name] / STEPS, "ms"))
    return rows


def operations(experiment: Any, attention: bool = True) -> float:
    """Floating-point operations of one gradient step of one network (formula above; or its first term)."""
    process, shape = experiment.process, experiment.shape
    tables = (process.vocabulary + 1 + process.length) * shape.width
    weights = build(shape, process.vocabulary, process.length, [0]).size - tables
    tokens = experiment.pretraining.batch * process.length
    scores = 12 * shape.layers * shape.width * process.length * tokens
    return 6 * tokens * weights + attention * scores


@functools.cache
def _program() -> Callable[[], Any]:
    matrix = jnp.full((SIZE, SIZE), 1 / SIZE, jnp.float32)
    products = jax.jit(lambda matrix: jax.lax.fori_loop(0, PRODUCTS, lambda _, left: left @ matrix, matrix))
    return lambda: jax.block_until_ready(products(matrix))


def _multiply() -> None:
    _program()()


@contextlib.contextmanager
def _products() -> Iterator[dict[str, Callable[[], Any]]]:
    """The yardsticks. For one thread, a second process that stays on one core and waits between its turns."""
    if jax.default_backend() != "cpu" or not hasattr(os, "sched_setaffinity"):
        yield {ALL: _multiply}
        return
    core = min(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=os.sched_setaffinity, initargs=(0, {core})) as pool:
        yield {ALL: _multiply, ONE: lambda: pool.submit(_multiply).result()}


def _pretraining(experiment: Any, networks: int, optimizer: str) -> Callable[[], Any]:
    """One chunk of `models.pretraining.pretrain`, as it really runs: sampling, optimiser and all."""
    process = experiment.process
    chunks = pretrain(
        process.distribution(),
        experiment.shape,
        replace(experiment.pretraining, optimizer=optimizer, steps=10**6, chunk=STEPS),
        tuple(range(networks)),
        process.vocabulary,
        process.length,
    )
    return lambda: next(chunks).loss


def _kernels(experiment: Any, networks: int) -> Callable[[], Any]:
    """As many steps of the kernels one behind the other: their products, forwards and backwards, no more."""
    process = experiment.process
    stacked = build(experiment.shape, process.vocabulary, process.length, range(networks))
    tokens = experiment.pretraining.batch * process.length
    columns = np.random.default_rng(0).normal(size=(networks, experiment.shape.width, tokens))

    def square(params: Any, columns: Any) -> Any:
        model = nnx.merge(stacked.definition, params)
        for layer in (*(getattr(block, name) for block in model.blocks for name in PARTS), model.unembed):
            columns = layer(columns[: layer.inputs])
        return jnp.sum(jnp.square(columns))

    def step(now: Any, _: Any) -> tuple[Any, None]:
        slopes = jax.grad(square, argnums=(0, 1))(*now)
        return jax.tree.map(lambda weight, slope: weight - 1e-9 * slope, now, slopes), None

    program, put = sharded(lambda *now: jax.lax.scan(step, now, None, STEPS)[0], networks, 0, 2)
    now = put(stacked.params), put(columns.astype(np.float32))
    return lambda: program(*now)


def _gradients(experiment: Any, networks: int) -> Callable[[], Any]:
    """As many steps of the gradient alone (and a subtraction), on documents drawn beforehand."""
    process = experiment.process
    stacked = build(experiment.shape, process.vocabulary, process.length, range(networks))
    shape = (networks, STEPS, experiment.pretraining.batch, process.length)
    keys = jax.random.split(jax.random.key(0), shape[:2])
    tokens = jax.vmap(jax.vmap(lambda key: process.distribution().sample(key, shape[2])))(keys)

    def descend(params: Any, tokens: Any) -> Any:
        def loss(params: Any, tokens: Any) -> Any:
            return mean_loss(stacked.with_params(params), Dataset(tokens, jnp.ones(tokens.shape, bool)))

        def step(params: Any, tokens: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(params, tokens)
            return jax.tree.map(lambda weight, slope: weight - 1e-3 * slope, params, gradient), value

        return jax.lax.scan(step, params, tokens)

    program, put = sharded(descend, networks, shared=0, mapped=2)
    params, tokens = put(stacked.params), put(np.asarray(tokens))
    return lambda: program(params, tokens)
