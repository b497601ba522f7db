"""Steering of an event: the effect of an edit of a network, against evidence for the event and nothing else.

    δ          what an edit adds to the log-odds of the event A, mean over contexts
    target     p_δ(y) ∝ p(y) e^(δ [y makes A true]),    y a continuation up to the token that decides A

The target is the network conditioned on evidence of δ nats for A: of all laws of continuations whose log-odds
of A are higher by δ it is the nearest to the network's own (KL). It goes to p(y | A), Doob's transform, as δ
goes to infinity, and is exact (theory.probes.futures). The score of an edit is the share of the way it goes,

    score      1 - E KL(p_δ ‖ edited) / E KL(p_δ ‖ network)

1 for an edit that adds δ in every context and does nothing else; below 0 for one that is further from the
target than the network as it was. Arrays are numpy's; no jax.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import rel_entr

from theory.errors import Misuse
from theory.probes.futures import Futures

STILL = 1e-3  # nats below which an edit is not said to move the event


@dataclass(frozen=True)
class Steering:
    """The effect of an edit on an event, over contexts: `change` of its log-odds (nats), its standard
    deviation `spread` over contexts, the share of contexts in which it has the sign opposite to the mean, and
    the score against exact conditioning; nan where nothing is moved."""

    change: float
    spread: float
    wrong_sign: float
    score: float


def conditioned(network: Futures, nats: float) -> Futures:
    """The same continuations given evidence of so many nats for the event."""
    raised = network.chances * np.exp(nats * network.comes)
    return network._replace(chances=raised / np.bincount(network.contexts, weights=raised)[network.contexts])


def change(network: Futures, edited: Futures) -> Float[np.ndarray, " c"]:
    """The nats that the edit adds to the log-odds of the event in every context."""
    return edited.log_odds - network.log_odds


def beyond_span(
    read: Float[np.ndarray, " c"],
    nats: float,
    span: tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]] | None = None,
) -> float:
    """The share of streams that an edit by so many nats takes beyond the span of what a probe reads, its
    least and its most (default: of these streams): there nothing is known of what the network does."""
    moved = np.asarray(read, float) + nats
    low, high = (np.min(read), np.max(read)) if span is None else span
    return float(np.mean((moved > high) | (moved < low)))


def beyond_fitted(fitted: Float[np.ndarray, " n"], read: Float[np.ndarray, " c"], nats: float) -> float:
    """The same, where a probe reads `fitted` of all streams that it was fitted on; nan of no stream."""
    if not len(read):
        return float("nan")
    ends = np.full_like(read, np.min(fitted)), np.full_like(read, np.max(fitted))
    return beyond_span(read, nats, ends)


def score_steering(network: Futures, edited: Futures) -> Steering:
    """The effect of an edit, from the futures of the network and of the edited one in the same contexts."""
    if not np.array_equal(network.contexts, edited.contexts):
        raise Misuse(
            "The futures of the network and of the edited one must be the same continuations, got "
            f"{len(network.contexts)} and {len(edited.contexts)}."
        )
    moved = change(network, edited)
    mean, spread = float(moved.mean()), float(moved.std())
    if abs(mean) < STILL:
        return Steering(mean, spread, np.nan, np.nan)
    target = conditioned(network, mean).chances
    left, whole = (rel_entr(target, part.chances).sum() for part in (edited, network))
    return Steering(mean, spread, float(np.mean(moved * np.sign(mean) < 0)), float(1 - left / whole))
