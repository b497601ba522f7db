"""Pretraining of base networks, with live progress, and their measured distance from the exact predictor."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import numpy as np

from experiments.runs.progress import Progress
from experiments.storage.manifests import NetworkQuality
from models.network import Network, build, first
from models.pretraining import Chunk, Pretraining, excess_nats, pretrain
from models.transformer import Architecture
from theory.base import LogProbs, PyTree, Tokens
from theory.compute.background import background
from theory.compute.devices import Programs
from theory.contracts import Process
from theory.divergence.calibration import DOCUMENTS, calibration
from theory.errors import Misuse
from theory.latent.mixture import Mixture, Uninformed

QUALITY_DOCUMENTS, QUALITY_SEED = 4096, 2**31
PARTS = 8  # of the documents, for a predictor that takes much memory
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
    ended: Callable[[Chunk, tuple[NetworkQuality, ...]], None] = lambda chunk, quality: None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[Network, tuple[NetworkQuality, ...]]:
    """One network for each seed, stacked, and their distance from the exact predictor.

    `restore` and `save` take the state between two chunks of steps, `ended` the last chunk. `meanwhile`, if
    given, runs in a thread beside training once that is traced. Where the recipe says `until_learnt`,
    training ends as soon as every network has learnt that share by the documents that it is measured on in
    the end, none of which is trained on. A loss that is not finite raises `Misuse`, as does a process of the
    user's own whose samples do not follow its predictions.
    """
    check_samples(process)
    exact, untrained, numbers = process.distribution(), template(process, shape), tuple(seeds)
    sizes = process.vocabulary, process.length
    networks, quality = untrained, ()

    def compile_all() -> None:
        if meanwhile is not None:
            compile_measure(exact, untrained)
            meanwhile()

    thread = background(compile_all)
    with progress.training(recipe.steps) as show:
        for chunk in pretrain(exact, shape, recipe, numbers, *sizes, restore, thread.start):
            diverged = np.flatnonzero(~np.isfinite(chunk.loss + chunk.excess)).tolist()
            if diverged:
                raise Misuse(
                    f"Pretraining diverged by step {chunk.step}: the loss of networks {diverged} is not "
                    "finite; use a smaller pretraining.rate."
                )
            show(chunk.step, chunk.loss, chunk.excess, chunk.learnt)
            for row in np.flatnonzero(np.array(chunk.shrunk) == chunk.step).tolist():
                progress.say(
                    f"network {row} has stalled at {chunk.learnt[row]:.3f}; it goes on from smaller weights"
                )
            last = chunk.step == recipe.steps
            if last or recipe.is_learnt(chunk.learnt):  # by a few documents; all of them have the last word
                networks = untrained.with_params(chunk.params)
                measured = measure(exact, networks, numbers, chunk.step)
                quality = tuple(map(_with_stall, measured, chunk.shrunk))
                if last or recipe.is_learnt([network.learnt for network in quality]):
                    ended(chunk, quality)
                    break
            save(chunk.step, chunk.state)
    if recipe.until_learnt is not None:
        progress.say(ending(quality, recipe))
    return networks, quality


def ending(quality: Sequence[NetworkQuality], recipe: Pretraining) -> str:
    """Whether the share of inference at which training was to end was reached, in a sentence."""
    learnt, wanted, steps = [network.learnt for network in quality], recipe.until_learnt, quality[0].steps
    span = f"{min(learnt):.3f} to {max(learnt):.3f}" if len(learnt) > 1 else f"{learnt[0]:.3f}"
    if recipe.is_learnt(learnt):
        return f"after {steps} steps base networks have learnt {span} of inference ({wanted:g} was wanted)"
    return (
        f"base networks have learnt {span} of inference in {steps} steps, and {wanted:g} was wanted; give "
        "more pretraining.steps, or another pretraining.rate"
    )


def _with_stall(network: NetworkQuality, step: int) -> NetworkQuality:
    return replace(network, shrunk=step)


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


def measure(
    process: Mixture, networks: Network, seeds: Sequence[int], steps: int
) -> tuple[NetworkQuality, ...]:
    """Excess of each of the stacked networks after so many steps, and that of `Uninformed`, on documents that
    are the same for all."""
    tokens = _documents()(process)
    never = _uninformed_nats(process, tokens)
    measured = []
    for row, seed in enumerate(seeds):
        network = jax.tree.map(lambda leaf: leaf[row], networks)  # noqa: B023
        excess = np.asarray(_excess()(process, network, tokens), float)
        measured.append(
            NetworkQuality(
                int(seed),
                float(excess.mean()),
                float(excess[1]),
                _rounded(excess),
                float(never.mean()),
                _rounded(never),
                steps,
            )
        )
    return tuple(measured)


def _uninformed_nats(process: Mixture, tokens: Tokens) -> np.ndarray:
    """Excess (nats, by position) of `Uninformed`: what there is to learn from context.

    It is measured on a part of the documents at a time, as it takes more memory.
    """
    parts = np.split(np.asarray(tokens), PARTS)
    return np.mean(
        [np.asarray(_excess()(process, Uninformed(process), part), float) for part in parts], axis=0
    )


def _rounded(nats: np.ndarray) -> tuple[float, ...]:
    return tuple(nats.round(6).tolist())


def compile_measure(process: Mixture, network: Network) -> None:
    """Compile what measures networks like this one, ahead of its first call."""
    tokens = np.asarray(_documents()(process))
    _excess().compile(process, network, tokens)
    _excess().compile(process, Uninformed(process), np.split(tokens, PARTS)[0])


@functools.cache
def _excess() -> Programs:
    return Programs(excess_nats)


@functools.cache
def _documents() -> Programs:
    return Programs(lambda process: process.sample(jax.random.key(QUALITY_SEED), QUALITY_DOCUMENTS))
