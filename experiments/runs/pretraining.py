"""Pretraining of base networks, with live progress, and their measured distance from the exact predictor."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from experiments.runs.progress import Progress
from experiments.storage.manifests import NetworkQuality
from models.network import Network, build, first
from models.pretraining import Pretraining, excess_nats, pretrain
from models.transformer import Architecture
from theory.base import LogProbs, Params, PyTree, Tokens
from theory.compute.devices import compiler_options
from theory.contracts import Process
from theory.divergence.calibration import DOCUMENTS, calibration
from theory.errors import Misuse
from theory.latent.mixture import Mixture, Uninformed

QUALITY_DOCUMENTS, QUALITY_SEED = 4096, 2**31
HOUSE = "theory.processes.", "experiments.runs."  # also of a process with documents of D' among its own
LARGEST = 20_000_000  # probabilities that are compared with samples at once


def template(process: Process, shape: Architecture) -> Network:
    """An untrained network of a shape, for documents of a process."""
    return first(jax.tree.map(np.asarray, build(shape, process.vocabulary, process.length, [0])))


def train(
    process: Process,
    shape: Architecture,
    recipe: Pretraining,
    seeds: Sequence[int],
    progress: Progress,
    *,
    restore: Callable[[PyTree], tuple[int, PyTree] | None] = lambda template: None,
    save: Callable[[int, PyTree], None] = lambda step, state: None,
    compiling: Callable[[], None] = lambda: None,
) -> Params:
    """Weights of one network for each seed, stacked. `restore` and `save` take the state between two chunks
    of steps, `compiling` is called once training is traced. A loss that is not finite raises `Misuse`, as
    does a process of the user's own whose samples do not follow its predictions."""
    check_samples(process)
    chunks = pretrain(
        process.distribution(),
        shape,
        recipe,
        tuple(seeds),
        process.vocabulary,
        process.length,
        restore,
        compiling,
    )
    state: PyTree = None
    with progress.training(recipe.steps) as show:
        for chunk in chunks:
            state = chunk.state
            diverged = np.flatnonzero(~np.isfinite(chunk.loss + chunk.excess)).tolist()
            if diverged:
                raise Misuse(
                    f"Pretraining diverged by step {chunk.step}: the loss of networks {diverged} is not "
                    "finite; use a smaller pretraining.rate."
                )
            show(chunk.step, chunk.loss, chunk.excess)
            if chunk.step < recipe.steps:
                save(chunk.step, state)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(seeds)], state[0])


def check_samples(process: Process) -> None:
    """Refuse a process whose `sample` and `predict` are of two processes; one of the house is tested."""
    if type(process).__module__.startswith(HOUSE):
        return
    count = max(1, min(DOCUMENTS, LARGEST // (process.length * process.vocabulary)))

    def draw(exact: Mixture) -> tuple[Tokens, LogProbs]:
        tokens = exact.sample(jax.random.key(QUALITY_SEED), count)
        return tokens, exact.predict(tokens)

    tokens, log_probs = jax.jit(draw)(process.distribution())
    compared = calibration(np.asarray(tokens), np.asarray(log_probs))
    if compared.excess > 1:
        raise Misuse(
            f"`sample` of {type(process).__name__} does not draw what `predict` says. In {count} documents, "
            f"{compared.sentence()}; correct the one that is wrong."
        )


def measure(process: Mixture, networks: Network, seeds: Sequence[int]) -> tuple[NetworkQuality, ...]:
    """Excess of each of the stacked networks, on documents that are the same for all."""
    tokens = _documents(process)
    excess = jax.jit(excess_nats, compiler_options=compiler_options())
    measured = []
    for row, seed in enumerate(seeds):
        network = jax.tree.map(lambda leaf: leaf[row], networks)  # noqa: B023
        by_position = np.asarray(excess(process, network, tokens), float)
        numbers = tuple(by_position.round(6).tolist())
        measured.append(NetworkQuality(int(seed), float(by_position.mean()), float(by_position[1]), numbers))
    return tuple(measured)


def uninformed_nats(process: Mixture) -> float:
    """Excess (nats, mean over positions) of `Uninformed`: what there is to learn from context.

    It is of the documents that networks are measured on, an eighth at a time as it takes more memory.
    """
    parts = np.split(np.asarray(_documents(process)), 8)
    excess = jax.jit(excess_nats)
    return float(np.mean([np.mean(excess(process, Uninformed(process), part)) for part in parts]))


def _documents(process: Mixture) -> Tokens:
    return _sampler()(process)


@functools.cache
def _sampler() -> Callable[[Mixture], Tokens]:
    def sample(process: Mixture) -> Tokens:
        return process.sample(jax.random.key(QUALITY_SEED), QUALITY_DOCUMENTS)

    return jax.jit(sample, compiler_options=compiler_options())
