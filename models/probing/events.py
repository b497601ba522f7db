"""Probes of an event of the next m tokens in a network: from its description, or from what the network wrote.

    fitted on     documents of the process, to its exact p(A | x_<t): no label is needed. A linear p̂ is then
                  V_A times the linear probe of the belief (theory.probes.futures). Or on contexts of the
                  network's own documents, labelled by the one continuation that it wrote
    judged on     other documents that the network writes, against its own exact p(A | x_<t)
    link          probability: p̂ = A h + a, clipped; log-odds: logit p̂ = A h + a
    filter f      what reads, in nats of log-odds for a unit of the normalised stream h; a linear p̂ counts as
                  1/[p(1-p)] nats at its mean p
    pattern       Σ f / (fᵀ Σ f), what writes one nat as the probe reads it
    steering      x times the pattern, times the mean size of the stream, added at one depth and every
                  position, those of the continuations too

Baselines, fitted and judged alike: the cubes of the network's own log-probabilities, and the tokens so far.
The exact process is what a probe would read that has all of the belief.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import jax
import numpy as np
from jaxtyping import Float

from models.inside import Edited, edited, read_out, shape, streams
from models.network import Network
from models.probing.contexts import Contexts
from theory.base import Misuse
from theory.latent.mixture import Mixture
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.baselines import cubic, outputs, seen_tokens
from theory.probes.codes import Fit, Linear, fit_log_odds, fit_probability
from theory.probes.futures import Futures
from theory.probes.readings import Reading, score_reading
from theory.probes.steering import STILL, Steering, beyond_span, score_steering
from theory.probes.subspaces import covariance, normalise, pattern

Link: TypeAlias = Literal["probability", "log-odds"]
FITS: dict[str, Fit] = {"probability": fit_probability, "log-odds": fit_log_odds}
MOST = 1_000  # continuations of a context
LARGEST = 8.0  # nats along a pattern
MOST_LABELS = 1 << 16


@dataclass(frozen=True)
class EventDirection:
    """The direction of an event in the stream at a depth, in nats of log-odds: `filter` reads and `pattern`
    writes in the normalised stream, `shift` is what is added to the stream itself for one nat."""

    filter: Float[np.ndarray, " d"]
    pattern: Float[np.ndarray, " d"]
    shift: Float[np.ndarray, " d"]


@dataclass(frozen=True)
class DepthProbe:
    """The probe at one depth.

    `fitted` reads normalised streams, `read` is its p̂ in the judged contexts, `reading` the quality of that
    and `in_sample` of what it reads where it was fitted. `steering` is by one nat along the pattern,
    `matched` by `nats`, so many that about one nat comes out; `beyond` is the share of streams that these
    take beyond the span of what the probe reads of the streams it was fitted on.
    """

    depth: int
    fitted: Linear
    direction: EventDirection
    read: Float[np.ndarray, " c"]
    reading: Reading
    in_sample: Reading
    steering: Steering
    matched: Steering
    nats: float
    beyond: float


@dataclass(frozen=True)
class EventProbe:
    """Probes of an event at several depths, and the same reading of baselines; `exact` is the network's own
    p(A) in the judged contexts, `labels` is 0 for probes from the description alone."""

    description: str
    horizon: int
    link: str
    labels: int
    exact: Float[np.ndarray, " c"]
    depths: tuple[DepthProbe, ...]
    baselines: tuple[tuple[str, Reading], ...]

    @property
    def best(self) -> DepthProbe:
        """The probe with the least excess."""
        return min(self.depths, key=lambda probe: probe.reading.excess)


def probe_event(
    network: Network | Edited,
    process: Mixture,
    event: Automaton,
    *,
    depth: int | None = None,
    link: str = "probability",
    labels: int = 0,
    seed: int = 0,
) -> EventProbe:
    """Probe an event at every depth of a network, or at one.

    Refuses a depth, a link, a number of labels and a network that cannot be, and an event with more
    continuations than can be summed.
    """
    still = _checked(network, event, depth, link, labels)
    contexts = Contexts.drawn(still, process, event, labels, seed)
    positions = contexts.positions.tolist()
    exact = futures.of_predictor(still, event, contexts.judged_documents, positions).reshape(-1).clip(0, 1)

    def read(features: np.ndarray) -> tuple[Linear, np.ndarray, Reading, Reading]:
        """The probe of features (n t f), what it reads in the judged contexts, and its quality there and in
        those of the fit."""
        fitted = FITS[link](features[contexts.fitted], _both(contexts.targets))
        seen, judged = (fitted.predict(features[part])[..., 1] for part in (contexts.fitted, contexts.judged))
        return fitted, judged, score_reading(judged, exact), score_reading(seen, contexts.targets)

    before = futures.decided(still, event, *contexts.steered)
    recorded = np.asarray(streams(network, contexts.tokens))
    probes = []
    for chosen in range(recorded.shape[1]) if depth is None else [depth]:
        stream = normalise(recorded[:, chosen])
        fitted, judged, reading, in_sample = read(stream)
        size = float(np.sqrt(np.mean(np.square(recorded[:, chosen][contexts.fitted], dtype=float))))
        direction = _direction(fitted, link, contexts.targets, stream[contexts.fitted], size)
        effects = _steer(network, event, chosen, direction.shift, contexts, before)
        beyond = beyond_span(stream[contexts.fitted] @ direction.filter, effects[-1])
        probes.append(DepthProbe(chosen, fitted, direction, judged, reading, in_sample, *effects, beyond))
    answers = np.asarray(read_out(network, recorded[:, -1]))
    baselines = [
        ("outputs, cubic", read(cubic(outputs(answers)))[2]),
        ("tokens", read(seen_tokens(contexts.tokens, event.vocabulary))[2]),
        ("exact process", score_reading(contexts.process.reshape(-1), exact)),
    ]
    return EventProbe(event.description, event.horizon, link, labels, exact, tuple(probes), tuple(baselines))


def _checked(
    network: Network | Edited, event: Automaton, depth: int | None, link: str, labels: int
) -> Edited:
    """The network with an edit that changes nothing, so that it shares programs with those that do."""
    _, length, width = shape(network)
    if link not in FITS:
        raise Misuse(f"link must be {' or '.join(map(repr, get_args(Link)))}, got {link!r}.")
    if not isinstance(labels, int) or isinstance(labels, bool) or not 0 <= labels <= MOST_LABELS:
        raise Misuse(
            f"labels must be a whole number from 0, the description alone, to {MOST_LABELS}, got {labels!r}."
        )
    still = edited(network, 0 if depth is None else depth, np.zeros(width))
    known = jax.eval_shape(read_out, network, jax.ShapeDtypeStruct((1, 1, width), np.float32)).shape[-1]
    if known != event.vocabulary:
        raise Misuse(
            f"The network has {known} tokens, and {event.title} is about {event.vocabulary}; give the "
            "process of its pretraining."
        )
    if event.horizon >= length:
        raise Misuse(
            f"{event.title[0].upper()}{event.title[1:]} is about {event.horizon} tokens, and documents have "
            f"{length}: no context comes before them; choose a shorter horizon."
        )
    if (count := futures.passes(event)) > MOST:
        raise Misuse(
            f"{event.title[0].upper()}{event.title[1:]} stays open over {count} continuations of a context, "
            f"and at most {MOST} are summed; choose a shorter horizon."
        )
    return still


def _direction(
    fitted: Linear, link: str, targets: np.ndarray, stream: np.ndarray, size: float
) -> EventDirection:
    """The direction in nats of a probe of (not A, A)."""
    reads = fitted.filters[:, 1] - fitted.filters[:, 0]
    if link == "probability":
        mean = targets.mean()
        reads = reads / 2 / (mean * (1 - mean))
    writes = pattern(reads[:, None], covariance(stream))[:, 0]
    return EventDirection(reads, writes, size * writes)


def _steer(
    network: Network | Edited,
    event: Automaton,
    depth: int,
    shift: np.ndarray,
    contexts: Contexts,
    before: Futures,
) -> tuple[Steering, Steering, float]:
    """Steering by one nat along a pattern, and by so many that one comes out, in some judged contexts."""

    def steered(nats: float) -> Steering:
        moved = edited(network, depth, nats * shift)
        return score_steering(before, futures.decided(moved, event, *contexts.steered))

    first = steered(1.0)
    if not abs(first.change) >= STILL:
        return first, first, 1.0
    nats = float(np.clip(1 / first.change, -LARGEST, LARGEST))
    return first, steered(nats), nats


def _both(chances: np.ndarray) -> Float[np.ndarray, "c 2"]:
    """Probabilities that the event does not come, and that it does."""
    return np.stack([1 - chances, chances], axis=-1)
