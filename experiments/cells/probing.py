"""Measures of networks that were read, by depth after the embedding: what probes tell of a base network, and
what the base network's probes tell of a finetuned one."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from scipy.special import softmax

from experiments.cells.probe_tables import Probed
from experiments.cells.reading import Base, Documents, NetworkReading
from experiments.cells.steering import Weighed
from experiments.storage.inside_cell import FACTORS
from theory.probes.calibration import Rescaling, against_others, kept_information, two_way
from theory.probes.codes import Fit, divergence, fit_log_odds
from theory.probes.factors import (
    beyond_factors,
    explained_dimensions,
    factor_angle,
    interaction,
    varies,
)
from theory.probes.scores import compare, score_numbers
from theory.probes.subspaces import normalise
from theory.probes.translation import Translation, centred, moved_divergences

Ladders: TypeAlias = Sequence[np.ndarray]
"""Shifts of log-odds (b, k) over a theory's strengths, by theory."""


def information(
    documents: Documents, reading: NetworkReading, untrained: np.ndarray, fit: Fit, seed: int
) -> np.ndarray:
    """I of a code's probe and of all its baselines, held out and in sample, (l, f, h); `untrained` are
    streams (n, l, t, d) of another network."""
    return Probed(documents.tokens, reading.streams, reading.answers, untrained).table(
        documents.beliefs, documents.foreign, documents.positions, lambda data: compare(data, fit, seed)
    )


def translation(base: Base, after: NetworkReading, twin: NetworkReading) -> list[list[float]]:
    """Of the probe's log-odds, (l, t), with the spread between network and twin."""
    results, scored, target = [], base.documents.scored, base.target
    for index, probe in enumerate(base.probes):
        before, moved, other = (
            probe.numbers(reading.normalised[index][scored]) for reading in (base.reading, after, twin)
        )
        step, between = Translation.of(before, moved), Translation.of(other, moved)
        apart = np.sqrt(np.mean((centred(moved - other) - between.shift) ** 2))
        gained = step.shift[target] - np.delete(step.shift, target).mean()
        results.append([step.slope, step.spread, step.size, float(gained), float(apart)])
    return results


def old_probes(base: Base, after: NetworkReading, twin: NetworkReading) -> list[list[float]]:
    """I after one constant shift, (l, i): of base, finetuned network and twin by the base network's probe,
    and of the finetuned network by a probe of its own."""
    documents, results = base.documents, []
    scored, fitted = documents.scored, documents.fitted
    for index, probe in enumerate(base.probes):
        refitted = fit_log_odds(after.normalised[index][fitted], documents.beliefs[fitted])
        pairs = ((base.reading, probe), (after, probe), (twin, probe), (after, refitted))
        kept = []
        for reading, reader in pairs:
            numbers = reader.numbers(reading.normalised[index])
            kept.append(
                kept_information(
                    numbers[scored], documents.beliefs[scored], numbers[fitted], documents.beliefs[fitted]
                )
            )
        results.append(kept)
    return results


def read_beliefs(
    base: Base, before: np.ndarray, after: np.ndarray, twin: np.ndarray, contexts: Weighed, ladders: Ladders
) -> list[list[float]]:
    """Mean KL (nats) elsewhere from the belief that the base network's probe reads in a finetuned network, to
    those it reads in the base network and in the twin, and to what theories make of the former, (l, b).
    Networks are streams (n, l, t, d) of the contexts; strengths are fitted in-domain, one for each depth."""
    results, inside, outside = [], contexts.inside > 0, contexts.outside > 0
    for index, probe in enumerate(base.probes):
        start, end, other = (probe.numbers(normalise(part[:, index + 1])) for part in (before, after, twin))
        truth = softmax(end, axis=-1)
        nats = [divergence(truth[outside], softmax(part[outside], axis=-1)) for part in (start, other)]
        for shifts in ladders:
            rung = np.argmin(moved_divergences(truth[inside], start[inside], shifts))
            nats += moved_divergences(truth[outside], start[outside], shifts[[rung]]).tolist()
        constant = Rescaling.fit(start[inside], truth[inside], slope=1.0)
        results.append([*nats, divergence(truth[outside], constant(start[outside]))])
    return results


def read_shifted(
    base: Base, before: np.ndarray, after: np.ndarray, contexts: Weighed, shifts: np.ndarray
) -> list[float]:
    """Mean KL (nats) elsewhere from the belief read after finetuning to the one before, moved by a theory's
    shifts (b, k), its strength fitted in-domain, (l,)."""
    results, inside, outside = [], contexts.inside > 0, contexts.outside > 0
    for index, probe in enumerate(base.probes):
        start, end = (probe.numbers(normalise(part[:, index + 1])) for part in (before, after))
        truth = softmax(end, axis=-1)
        rung = np.argmin(moved_divergences(truth[inside], start[inside], shifts))
        results.append(float(moved_divergences(truth[outside], start[outside], shifts[[rung]])[0]))
    return results


def read_apart(base: Base, after: np.ndarray, other: np.ndarray, contexts: Weighed) -> list[float]:
    """Mean KL (nats) elsewhere from the belief that the base network's probe reads in streams (n, l, t, d) to
    the one it reads in others, (l,)."""
    outside, results = contexts.outside > 0, []
    for index, probe in enumerate(base.probes):
        truth, read = (probe.predict(normalise(part[:, index + 1][outside])) for part in (after, other))
        results.append(divergence(truth, read))
    return results


def slopes(base: Base, after: NetworkReading) -> list[list[float]]:
    """The base network's probe against the exact posterior with one constant shift, and against the network's
    own answers in clear contexts, (l, j); nan without these."""
    documents, clear = base.documents, base.clear
    answers, results = two_way(base.answered(after.answers)), []
    for index, probe in enumerate(base.probes):
        numbers = probe.numbers(after.normalised[index])
        read = against_others(numbers[clear], base.target)
        scored = documents.scored
        exact = Rescaling.fit(centred(numbers[scored]), documents.beliefs[scored]).slope
        two = np.stack([read, np.zeros_like(read)], axis=-1)
        results.append([exact, Rescaling.fit(two, answers).slope if clear.any() else np.nan])
    return results


def factor_codes(documents: Documents, reading: NetworkReading, factors: tuple[int, ...]) -> np.ndarray:
    """Factored or joint, (l, g); nan where the hypotheses are no combinations of two factors, and of targets
    that do not vary."""
    results = np.full((len(reading.normalised), len(FACTORS)), np.nan, np.float32)
    if len(factors) != 2:
        return results
    both, fitted = (factors[0], factors[1]), documents.fitted
    targets = interaction(documents.beliefs, both), beyond_factors(documents.beliefs, both, fitted)
    known = documents.beliefs[fitted]
    for index, part in enumerate(reading.normalised):
        for column, target in enumerate(targets):
            if varies(target):
                score = score_numbers(part, target, documents.held, documents.positions)
                results[index, column] = score.held_out
        results[index, 2:] = (
            explained_dimensions(part[fitted], known),
            factor_angle(part[fitted], known, both),
        )
    return results
