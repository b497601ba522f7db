"""Comparisons of theories on the same networks, and with the best that a theory blind to order can reach.

Scores of lines over different networks are not compared: a sampled posterior has few. The difference of two
theories' explained parts at one dose is itself a ratio of sums,

    (Σ nats' - Σ nats) / Σ shift     over the networks that both have

with an interval like any other; at two doses it is a difference of two (experiments.scoring.intervals). Two
orders of one D' are two draws p, p' about a centre c, and to second order E KL(p ‖ c) = ½ tr FΣ is half of E
KL(p ‖ p') = tr FΣ, F the Fisher information at c and Σ the covariance of the draws. A theory that does not
know the order predicts at best the centre, so

    order_blind = 1 - ½ Σ replica / Σ shift

bounds what it explains; the replica, another draw, leaves twice as much. Numpy only.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from statistics import fmean

import numpy as np

from experiments.scoring.intervals import Estimate, clusters, ratio, ratio_difference
from experiments.scoring.labels import beats_nulls
from experiments.storage.records import Interval, Sample, ScoreLine

CENTRE = 0.5  # of the KL between two draws is what each has from their centre


def advantage(ours: ScoreLine, theirs: ScoreLine) -> Estimate:
    """The explained part of one theory less that of another, on the networks that both have.

    Of lines without their networks it is the difference of the scores, without an interval.
    """
    if ours.sample is None or theirs.sample is None:
        return Estimate((ours.explained or 0.0) - (theirs.explained or 0.0))
    first, second = _shared(ours.sample, theirs.sample)
    if np.array_equal(first.shift, second.shift):
        return share(_less(second.nats, first.nats), first)
    return ratio_difference(_sums(second), _sums(first), _clusters(first))


def below_order_blind(line: ScoreLine) -> Estimate:
    """The gap between a theory and the best that one blind to the order of D' can reach."""
    if line.sample is None:
        return Estimate((line.order_blind or 0.0) - (line.explained or 0.0))
    return share(_less(line.sample.nats, _centre(line.sample)), line.sample)


def class_below_order_blind(line: ScoreLine) -> Estimate:
    """The same for the best member of the theory's class."""
    if line.sample is None:
        return Estimate((line.order_blind or 0.0) - (line.best_in_class or 0.0))
    return share(_less(line.sample.best_in_class, _centre(line.sample)), line.sample)


def covers(line: ScoreLine, other: ScoreLine) -> bool:
    """Whether a line has all networks of another."""
    return (
        line.sample is not None and other.sample is not None and _pairs(other.sample) <= _pairs(line.sample)
    )


def on_networks_of(line: ScoreLine, other: ScoreLine) -> tuple[float | None, float]:
    """Score and shift (nats) of a line on the networks that another has, too."""
    if line.sample is None or other.sample is None:
        return line.explained, line.shift
    sample, _ = _shared(line.sample, other.sample)
    if sample is line.sample:
        return line.explained, line.shift
    shift = fmean(sample.shift)
    return None if line.explained is None else 1 - fmean(sample.nats) / shift, shift


def ranked(lines: Sequence[ScoreLine]) -> list[ScoreLine]:
    """The lines with a score, best first: each by its advantage over the best of those with most networks;
    last those that share no network with it."""
    scored = [line for line in lines if line.explained is not None and not np.isnan(line.explained)]
    if not scored:
        return []
    reference = max(scored, key=lambda line: (line.networks, line.explained))
    order = {id(line): advantage(line, reference).value for line in scored}
    return sorted(scored, key=lambda line: (np.isnan(order[id(line)]), -order[id(line)]))


def leader(order: Sequence[ScoreLine]) -> ScoreLine:
    """The best of ranked lines: of those that beat the nulls, or else of those with an interval."""
    sure = [line for line in order if beats_nulls(line)]
    return (sure or [line for line in order if line.interval is not None] or list(order))[0]


def ties(first: ScoreLine, order: Sequence[ScoreLine]) -> list[ScoreLine]:
    """The other lines that one is not shown to be better than, as the interval of the difference holds 0."""
    gaps = [(line, advantage(first, line)) for line in order if line is not first]
    return [line for line, gap in gaps if gap.interval and not gap.above]


def open_cases(first: ScoreLine, order: Sequence[ScoreLine]) -> list[ScoreLine]:
    """The other lines without an interval of the difference: of one base network, or of one D'."""
    return [line for line in order if line is not first and advantage(first, line).interval is None]


def share(above: np.ndarray, sample: Sample) -> Estimate:
    """Σ above / Σ shift over networks, clustered by draw of the process, base network and D' (D' alone of
    one imported model)."""
    return ratio(above, np.array(sample.shift), _clusters(sample))


def of_the_rest(missed: Estimate) -> Interval | None:
    """The interval of 1 - a share that is missed; nothing explains more than 1."""
    if missed.interval is None:
        return None
    low, high = missed.interval
    return 1 - high, min(1 - low, 1.0)


def _clusters(sample: Sample) -> list[Sequence[int]]:
    return clusters(sample.draws, sample.bases, sample.seeds, of_one_model=sample.of_one_model)


def _shared(first: Sample, second: Sample) -> tuple[Sample, Sample]:
    """The networks of two samples that both have, in the order of the first."""
    if (first.bases, first.seeds) == (second.bases, second.seeds):
        return first, second
    places = {pair: index for index, pair in enumerate(zip(second.bases, second.seeds, strict=True))}
    pairs = list(zip(first.bases, first.seeds, strict=True))
    ours = [index for index, pair in enumerate(pairs) if pair in places]
    return _part(first, ours), _part(second, [places[pairs[index]] for index in ours])


def _part(sample: Sample, chosen: Sequence[int]) -> Sample:
    columns = {column.name: getattr(sample, column.name) for column in fields(sample)}
    return replace(
        sample,
        **{
            name: tuple(column[index] for index in chosen)
            for name, column in columns.items()
            if column is not None and not isinstance(column, bool)
        },
    )


def _centre(sample: Sample) -> np.ndarray:
    """The distance (nats) of each network from the centre of all orders; 0, the least, without replicas."""
    return CENTRE * np.array(sample.replica or [0.0] * len(sample.nats))


def _sums(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    return np.array(sample.nats), np.array(sample.shift)


def _pairs(sample: Sample) -> set[tuple[int, int]]:
    return set(zip(sample.bases, sample.seeds, strict=True))


def _less(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> np.ndarray:
    """The difference; ∞ less ∞ is 0: neither theory is better."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)
