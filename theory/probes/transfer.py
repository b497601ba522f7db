"""Transfer of a probe between groups of documents: fitted on one group, read on another.

    I(A → B)    information that a probe fitted on documents of group A has on those of B, held out; as it is,
                and up to one constant that is fitted in B
    τ           I(A → B) / I(B → B) over pairs of different groups: 1 where one probe reads them all

A group is an alphabet, or a domain. Baselines have the same table: other features, shuffled beliefs, and the
foreign filter, whose information counts beyond what the own beliefs tell of it in both groups. Axes: n
documents, t positions, k hypotheses, a group of the fit, b group that is read. Arrays are numpy's; no jax.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from theory.errors import Misuse
from theory.probes.baselines import filter_features, shuffled
from theory.probes.calibration import kept_information
from theory.probes.codes import LogOdds, fit_log_odds, information

Features = Sequence[Float[np.ndarray, "_ _ _"]]
"""Features (n, t, d) of every group."""


@dataclass(frozen=True, eq=False)
class Group:
    """Documents of one kind: exact `beliefs` (n, t, k), those of a `foreign` filter (n, t, j), and positions
    (n, t) that are `fitted` on and `scored`, in different documents."""

    beliefs: Float[np.ndarray, "n t k"]
    foreign: Float[np.ndarray, "n t j"]
    fitted: Bool[np.ndarray, "n t"]
    scored: Bool[np.ndarray, "n t"]

    def __post_init__(self) -> None:
        if not (self.fitted.any() and self.scored.any()):
            raise Misuse("A group needs positions to fit a probe on and others to score it, got none of one.")
        if (self.fitted.any(axis=1) & self.scored.any(axis=1)).any():
            raise Misuse("A document of a group is either fitted on or scored, got one that is both.")


def fit_groups(groups: Sequence[Group], features: Features) -> list[LogOdds]:
    """Each group's own probe."""
    return [
        fit_log_odds(part[group.fitted], group.beliefs[group.fitted])
        for group, part in zip(groups, features, strict=True)
    ]


def between(groups: Sequence[Group], features: Features) -> Float[np.ndarray, "2 a b"]:
    """I of every group's probe on every group, as it is and up to one constant."""
    probes = fit_groups(groups, features)
    result = np.zeros((2, len(probes), len(probes)))
    for a, b in np.ndindex(result.shape[1:]):
        probe, group = probes[a], groups[b]
        known, kept = group.beliefs[group.scored], group.beliefs[group.fitted]
        result[0, a, b] = information(known, probe.predict(features[b][group.scored]))
        numbers = probe.numbers(features[b])
        result[1, a, b] = kept_information(numbers[group.scored], known, numbers[group.fitted], kept)
    return result


def shuffled_between(
    groups: Sequence[Group], features: Features, random: np.random.Generator
) -> Float[np.ndarray, "2 a b"]:
    """The same of beliefs that are permuted among the documents of each group, the position kept."""
    return between([replace(group, beliefs=shuffled(group.beliefs, random)) for group in groups], features)


def foreign_between(groups: Sequence[Group], features: Features) -> Float[np.ndarray, "2 a b"]:
    """I of the foreign filter beyond what the own beliefs tell of it; up to a constant it is not measured,
    nan."""
    known = [filter_features(group.beliefs) for group in groups]
    both = [np.concatenate([part, more], axis=-1) for part, more in zip(features, known, strict=True)]
    foreign = [replace(group, beliefs=group.foreign) for group in groups]
    probes = zip(fit_groups(foreign, both), fit_groups(foreign, known), strict=True)
    result = np.full((2, len(groups), len(groups)), np.nan)
    for a, pair in enumerate(probes):
        for b, group in enumerate(foreign):
            read = [
                probe.predict(part[b][group.scored]) for probe, part in zip(pair, (both, known), strict=True)
            ]
            result[0, a, b] = information(group.beliefs[group.scored], *read)
    return result
