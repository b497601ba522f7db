"""Scores of probes, held out by document, and the table with a score for every baseline.

A probe is fitted on some documents and scored on others: positions of one document share most of what they
are made of, so a split by position would score memory. The in-sample score stands beside it. Two copies of
one document are never on both sides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.errors import Misuse
from theory.probes.baselines import cubic, filter_features, outputs, seen_tokens, shuffled
from theory.probes.codes import Fit, fit_linear, fit_log_odds, information, r_squared
from theory.probes.subspaces import normalise

SHARE = 0.3  # of documents that are held out


@dataclass(frozen=True)
class ProbeScore:
    """The score of a probe on documents that it was not fitted on, and on those that it was.

    A share of information or of variance, as the function says that makes it. `fitted` and `scored` are
    documents.
    """

    held_out: float
    in_sample: float
    fitted: int
    scored: int


@dataclass(frozen=True)
class ProbeData:
    """Everything that a probe is compared on: n documents, t positions, at least two of the former.

    `log_probs` are of the network that has the `streams`, at the position that they predict; `foreign` are
    beliefs of a setting that pretraining never had; `positions` says which count (default: all).
    """

    streams: Float[np.ndarray, "_ _ d"]
    beliefs: Float[np.ndarray, "_ _ k"]
    log_probs: Float[np.ndarray, "_ _ v"]
    untrained: Float[np.ndarray, "_ _ e"]
    tokens: Int[np.ndarray, "_ _"]
    foreign: Float[np.ndarray, "_ _ j"]
    positions: Bool[np.ndarray, "_ _"] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            shape = np.shape(getattr(self, field.name))
            if field.name == "positions" and self.positions is None:
                continue
            if shape[:2] != np.shape(self.tokens):
                raise Misuse(
                    f"{field.name} must begin with the axes of tokens, documents and positions "
                    f"{np.shape(self.tokens)}, got {shape}."
                )


@dataclass(frozen=True)
class ProbeTable:
    """The score of a probe of the streams, and of every baseline (theory.probes.baselines).

    All but `foreign` are shares of the information in the network's own beliefs; that is the share of the
    information in the foreign filter, beyond what the own one tells of it.
    """

    streams: ProbeScore
    outputs: ProbeScore
    outputs_cubic: ProbeScore
    untrained: ProbeScore
    tokens: ProbeScore
    foreign: ProbeScore
    shuffled: ProbeScore

    @property
    def selectivity(self) -> float:
        """I of the own filter less that of the foreign one, held out."""
        return self.streams.held_out - self.foreign.held_out

    def rows(self) -> Iterator[tuple[str, ProbeScore]]:
        """Names and scores, the streams first."""
        return ((field.name.replace("_", ", "), getattr(self, field.name)) for field in fields(self))


def held_out(
    tokens: Int[np.ndarray, "n t"], random: np.random.Generator, share: float = SHARE
) -> Bool[np.ndarray, " n"]:
    """A random share of the documents, copies together; at least one is held out and one is not."""
    _, copies = np.unique(np.asarray(tokens), axis=0, return_inverse=True)
    distinct = int(copies.max()) + 1
    if distinct < 2 or not 0 < share < 1:
        raise Misuse(
            "A share between 0 and 1 of at least two different documents is held out, got a share of "
            f"{share:g} of {distinct}."
        )
    count = int(np.clip(round(share * distinct), 1, distinct - 1))
    return np.isin(copies.reshape(-1), random.permutation(distinct)[:count])


def score_beliefs(
    streams: Float[np.ndarray, "n t d"],
    beliefs: Float[np.ndarray, "n t k"],
    held: Bool[np.ndarray, " n"],
    fit: Fit = fit_log_odds,
    positions: Bool[np.ndarray, "n t"] | None = None,
    known: Float[np.ndarray, "n t f"] | None = None,
) -> ProbeScore:
    """Share of the information in the beliefs that a probe reads off the streams, normalised beforehand.

    With `known`, features of something else, it is the share of what these leave: a probe of both against a
    probe of these alone.
    """
    sides = _sides(held, positions, beliefs)
    features = [streams] if known is None else [np.concatenate([streams, known], axis=-1), known]
    probes = [fit(given[sides[1]], beliefs[sides[1]]) for given in features]

    def share_of(side: np.ndarray) -> float:
        read = [probe.predict(given[side]) for probe, given in zip(probes, features, strict=True)]
        return information(beliefs[side], *read)

    return _score(share_of, held, sides)


def score_numbers(
    streams: Float[np.ndarray, "n t d"],
    targets: Float[np.ndarray, "n t k"],
    held: Bool[np.ndarray, " n"],
    positions: Bool[np.ndarray, "n t"] | None = None,
    known: Float[np.ndarray, "n t f"] | None = None,
) -> ProbeScore:
    """R² of the ridge regression of any targets on the streams, normalised beforehand.

    With `known`, features of something else, it is the share of what these leave, as in `score_beliefs`.
    """
    sides = _sides(held, positions, targets)
    features = [streams] if known is None else [np.concatenate([streams, known], axis=-1), known]
    probes = [fit_linear(given[sides[1]], targets[sides[1]]) for given in features]

    def share_of(side: np.ndarray) -> float:
        shares = [
            r_squared(targets[side], probe.predict(given[side]))
            for probe, given in zip(probes, features, strict=True)
        ]
        return 1 - (1 - shares[0]) / (1 - shares[1]) if known is not None else shares[0]

    return _score(share_of, held, sides)


def compare(data: ProbeData, fit: Fit = fit_log_odds, seed: int = 0, share: float = SHARE) -> ProbeTable:
    """The probe of the streams and all its baselines, fitted and scored on the same documents.

    Streams are normalised here. The outputs' cubes stand beside the outputs; a probe of more numbers than
    `theory.probes.codes.LARGEST` is refused, so `fit_probability` is the one for many hypotheses.
    """

    def score(
        features: np.ndarray, beliefs: np.ndarray, held: np.ndarray, known: np.ndarray | None = None
    ) -> ProbeScore:
        return score_beliefs(features, beliefs, held, fit, data.positions, known)

    return _compare(data, score, filter_features, seed, share)


def compare_numbers(data: ProbeData, seed: int = 0, share: float = SHARE) -> ProbeTable:
    """The same of any numbers in the place of beliefs, by R² of ridge regressions; of the foreign ones beyond
    what the own numbers, their squares and cubes tell of them."""

    def score(
        features: np.ndarray, numbers: np.ndarray, held: np.ndarray, known: np.ndarray | None = None
    ) -> ProbeScore:
        return score_numbers(features, numbers, held, data.positions, known)

    return _compare(data, score, cubic, seed, share)


def _compare(
    data: ProbeData,
    score: Callable[..., ProbeScore],
    known_of: Callable[[np.ndarray], np.ndarray],
    seed: int,
    share: float,
) -> ProbeTable:
    """The table of a score; `known_of` makes the features of the network's own targets that are taken out
    of the foreign ones."""
    random = np.random.default_rng(seed)
    held = held_out(data.tokens, random, share)
    answers, streams = outputs(data.log_probs), normalise(data.streams)
    seen = seen_tokens(data.tokens, data.log_probs.shape[-1])
    return ProbeTable(
        streams=score(streams, data.beliefs, held),
        outputs=score(answers, data.beliefs, held),
        outputs_cubic=score(cubic(answers), data.beliefs, held),
        untrained=score(normalise(data.untrained), data.beliefs, held),
        tokens=score(seen, data.beliefs, held),
        foreign=score(streams, data.foreign, held, known_of(data.beliefs)),
        shuffled=score(streams, shuffled(data.beliefs, random), held),
    )


def _sides(
    held: Bool[np.ndarray, " n"], positions: Bool[np.ndarray, "n t"] | None, targets: np.ndarray
) -> tuple[Bool[np.ndarray, "n t"], Bool[np.ndarray, "n t"]]:
    """The counted positions of the documents that are held out, and of those that are not."""
    counted = np.ones(targets.shape[:2], bool) if positions is None else np.asarray(positions)
    sides = counted & held[:, None], counted & ~held[:, None]
    if not all(side.any() for side in sides):
        raise Misuse("A probe needs counted positions in documents held out and in others, got none of one.")
    return sides


def _score(
    measure: Callable[[np.ndarray], float],
    held: Bool[np.ndarray, " n"],
    sides: tuple[Bool[np.ndarray, "n t"], Bool[np.ndarray, "n t"]],
) -> ProbeScore:
    return ProbeScore(*map(measure, sides), fitted=int((~held).sum()), scored=int(held.sum()))
