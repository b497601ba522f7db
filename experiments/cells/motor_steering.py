"""Steering of an event in a base network: vectors from a probe and from labels, and their effects."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from experiments.storage.motor_cell import STEERED, VECTORS
from models.inside import Edited, edited, shape
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.codes import Linear
from theory.probes.steering import STILL, Steering, score_steering
from theory.probes.subspaces import covariance, pattern

Contexts: TypeAlias = tuple[np.ndarray, list[int]]  # documents, and positions in each
LARGEST = 8.0  # lengths of the pattern of one nat
STEP = 0.05  # of a difference, in lengths of an entry of the stream
NEAR = 0.5, 2.0  # nats that count as about one
SMALL, ROUNDS = 0.25, 3  # the first size, and how often it is mended, so that one nat comes out


def directions(
    probe: Linear,
    process: Float[np.ndarray, "c d"],
    steepest: Float[np.ndarray, " d"],
    means: dict[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, Float[np.ndarray, " d"]]:
    """Vectors by name, all of the length of the pattern, one nat of it as the probe reads it: of the
    probe, the `steepest` of the network, and of `means`, streams and outcomes by regime."""
    reads = probe.filters[:, 1] - probe.filters[:, 0]
    writes = pattern(reads[:, None], covariance(process))[:, 0]
    vectors = {"pattern": writes, "filter": reads, "gradient": steepest}
    for regime, (features, came) in means.items():
        there = came > 0.5
        apart = (
            features[there].mean(axis=0) - features[~there].mean(axis=0)
            if 0 < there.sum() < len(there)
            else 0
        )
        vectors[f"means {regime}"] = apart + np.zeros_like(writes)
    length = np.linalg.norm(writes)
    return {
        name: vector * (length / max(float(np.linalg.norm(vector)), 1e-12))
        for name, vector in vectors.items()
    }


def gradient(
    network: Edited, event: Automaton, depth: int, size: float, contexts: Contexts
) -> Float[np.ndarray, " d"]:
    """The slope of the mean log-odds of an event in a shift of every position's stream, by differences."""
    width = shape(network)[2]
    moved = [network, *(edited(network.network, depth, STEP * size * row) for row in np.eye(width))]
    start, *ends = (futures.decided(network, event, *contexts).log_odds.mean() for network in moved)
    return np.array(ends) - start


def effects(
    network: Edited,
    event: Automaton,
    depth: int,
    vectors: dict[str, np.ndarray],
    size: float,
    contexts: Contexts,
) -> tuple[Float[np.ndarray, "v u"], Float[np.ndarray, " v"]]:
    """The effect of every vector at the size by which about one nat comes out, and so many times the vector;
    where no nat does, there is no score. `size` is that of streams."""
    before = futures.decided(network, event, *contexts)
    rows, sizes = [], []
    for name in VECTORS:

        def steered(times: float, vector: np.ndarray = vectors[name]) -> Steering:
            moved = edited(network.network, depth, times * size * vector)
            return score_steering(before, futures.decided(moved, event, *contexts))

        times, result = _matched(steered)
        length = abs(times) * np.linalg.norm(vectors[name]) / np.sqrt(len(vectors[name]))
        values = {
            "change": result.change,
            "spread": result.spread,
            "wrong sign": result.wrong_sign,
            "score": result.score if NEAR[0] < result.change < NEAR[1] else np.nan,
            "per norm": abs(result.change) / max(float(length), 1e-12),
        }
        rows.append([values[part] for part in STEERED])
        sizes.append(times)
    return np.array(rows), np.array(sizes)


def _matched(steered: Callable[[float], Steering]) -> tuple[float, Steering]:
    """The size by which most nearly one nat comes out, of those that are tried, and its effect."""
    times, result = SMALL, steered(SMALL)
    tried = [(times, result)]
    for _ in range(ROUNDS):
        if not abs(result.change) >= STILL:
            break
        times = float(np.clip(times / result.change, -LARGEST, LARGEST))
        result = steered(times)
        tried.append((times, result))
    return min(tried, key=lambda pair: abs(pair[1].change - 1))
