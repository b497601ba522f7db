"""Probes: linear maps from a stream to a belief, in one of two codes, or to any numbers.

    log-odds     b̂ = softmax(A h + a),    argmin over A, a of E KL(b ‖ b̂) + (λ/2) ‖A‖², by Newton's method
    probability  b̂ = A h + a, clipped to the simplex,    argmin of ½ E ‖b - A h - a‖² + (λ/2) ‖A‖²
    linear       the same ridge regression of any numbers, not clipped

    h   a normalised stream (`theory.probes.subspaces.normalise`), its entries standardised for the ridge
    b   an exact belief: soft labels, so there is no noise of labels
    λ   `ridge`, on entries of h of unit variance

Beliefs that add evidence are linear in log-odds, beliefs that average are linear in probability: the better
code says which. Both are scored by one number, the share of the exact posterior's information,

    I = 1 - E KL(b ‖ b̂) / E KL(b ‖ mean b)

which can be compared between codes, as R² cannot. The objective of the first is convex, and its minimum is
unique up to a constant added to all log-odds, which is left at 0. Arrays are numpy's; no jax.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax, rel_entr, softmax

from theory.errors import Misuse

Streams: TypeAlias = Float[np.ndarray, "... d"]
Targets: TypeAlias = Float[np.ndarray, "... k"]
RIDGE = 1e-4
LARGEST = 3000  # numbers of a log-odds probe: its Hessian has the square of that
ROUNDS, CLOSE = 100, 1e-20  # most steps of Newton's method; the decrement (nats) at which it ends
CHUNK = 1 << 22  # entries of what is held at once for the Hessian
FLOORS = np.logspace(-6, -1, 11)  # least probabilities that a clipped belief may have


@dataclass(frozen=True)
class Linear:
    """Numbers read off a stream by `filters` (d, k) and `offset` (k,)."""

    filters: Float[np.ndarray, "d k"]
    offset: Float[np.ndarray, " k"]

    def numbers(self, streams: Streams) -> Targets:
        """A h + a."""
        return np.asarray(streams, float) @ self.filters + self.offset

    def predict(self, streams: Streams) -> Targets:
        """The targets, as the probe reads them."""
        return self.numbers(streams)

    def combined(self, values: Float[np.ndarray, "k m"]) -> "Linear":
        """The probe of linear combinations of the targets, without another fit: ridge is linear in them."""
        return Linear(self.filters @ values, self.offset @ values)


@dataclass(frozen=True)
class LogOdds(Linear):
    """A belief whose log-odds are linear in the stream."""

    def predict(self, streams: Streams) -> Targets:
        """Probabilities."""
        return softmax(self.numbers(streams), axis=-1)


@dataclass(frozen=True)
class Probability(Linear):
    """A belief whose probabilities are linear in the stream: what is below `floor` is clipped."""

    floor: float

    def predict(self, streams: Streams) -> Targets:
        """Probabilities, clipped and normalised."""
        return _clipped(self.numbers(streams), self.floor)


Fit: TypeAlias = Callable[[Streams, Targets], Linear]


def fit_linear(streams: Streams, targets: Targets, ridge: float = RIDGE) -> Linear:
    """The ridge regression of targets on streams, with a free offset."""
    scaled = _Scaled.of(streams, targets, ridge)
    features, mean = scaled.features, scaled.targets.mean(axis=0)
    gram = features.T @ features / len(features) + ridge * np.eye(features.shape[1])
    slope = np.linalg.solve(gram, features.T @ (scaled.targets - mean) / len(features))
    return Linear(*scaled.undo(slope, mean))


def fit_probability(streams: Streams, beliefs: Targets, ridge: float = RIDGE) -> Probability:
    """The probe of a probability code. Its floor is the one of `FLOORS` that loses least on what it is fitted
    to: as for the other code, no belief of 0 costs an infinity."""
    probe = fit_linear(streams, _checked_beliefs(beliefs), ridge)
    read = probe.numbers(streams)
    lost = [divergence(beliefs, _clipped(read, floor)) for floor in FLOORS]
    return Probability(probe.filters, probe.offset, float(FLOORS[np.argmin(lost)]))


def fit_log_odds(streams: Streams, beliefs: Targets, ridge: float = RIDGE) -> LogOdds:
    """The probe of a log-odds code: the exact minimum, by Newton's method with the exact Hessian."""
    scaled = _Scaled.of(streams, _checked_beliefs(beliefs), ridge)
    features = np.column_stack([scaled.features, np.ones(len(scaled.features))])
    numbers = features.shape[1] * scaled.targets.shape[1]
    if numbers > LARGEST:
        raise Misuse(
            f"A log-odds probe of {features.shape[1]} features and {scaled.targets.shape[1]} hypotheses has "
            f"{numbers} numbers, more than {LARGEST}; use fewer features, or a probability probe."
        )
    weights = _newton(features, scaled.targets, np.append(np.full(features.shape[1] - 1, ridge), 0.0))
    return LogOdds(*scaled.undo(weights[:, :-1].T, weights[:, -1]))


def divergence(beliefs: Targets, predicted: Targets) -> float:
    """Mean KL(belief ‖ predicted) in nats over all rows."""
    return float(np.mean(np.sum(rel_entr(np.asarray(beliefs, float), predicted), axis=-1)))


def information(beliefs: Targets, predicted: Targets, reference: Targets | None = None) -> float:
    """I, the share of the information in the exact beliefs, beyond what a `reference` has of it (default: the
    mean belief); 1 is all of it, below 0 is worse than the reference."""
    known = _rows(beliefs).mean(axis=0) if reference is None else reference
    return 1 - divergence(beliefs, predicted) / divergence(beliefs, known)


def r_squared(targets: Targets, predicted: Targets) -> float:
    """The explained share of the variance of all targets together."""
    targets, predicted = _rows(targets), _rows(predicted)
    return float(1 - np.sum((targets - predicted) ** 2) / np.sum((targets - targets.mean(axis=0)) ** 2))


@dataclass(frozen=True)
class _Scaled:
    """Standardised features and their targets, in rows, and what undoes the standardisation."""

    features: Float[np.ndarray, "n d"]
    targets: Float[np.ndarray, "n k"]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, streams: Streams, targets: Targets, ridge: float) -> Self:
        """Refuses rows that do not match, and a ridge without which the minimum may not be unique."""
        streams, targets = np.asarray(streams, float), np.asarray(targets, float)
        if streams.shape[:-1] != targets.shape[:-1] or not streams.size or not targets.size:
            raise Misuse(
                "Streams (..., d) and targets (..., k) of a probe must have the same rows, at least one, got "
                f"{streams.shape} and {targets.shape}."
            )
        if not (np.isfinite(streams).all() and np.isfinite(targets).all()):
            raise Misuse("Streams and targets of a probe must be finite, got inf or nan; omit these rows.")
        if not 0 < ridge < np.inf:
            raise Misuse(f"ridge must be finite and above 0, got {ridge!r}.")
        streams = _rows(streams)
        mean, scale = streams.mean(axis=0), streams.std(axis=0)
        scale = np.where(scale > 1e-9 * (1e-9 + np.abs(mean)), scale, 1.0)  # a constant entry stays one
        return cls((streams - mean) / scale, _rows(targets), mean, scale)

    def undo(self, slope: Float[np.ndarray, "d k"], offset: Float[np.ndarray, " k"]) -> tuple:
        """Filters and offset for streams that are not standardised."""
        filters = slope / self.scale[:, None]
        return filters, offset - self.mean @ filters


def _newton(
    features: Float[np.ndarray, "n d"], targets: Float[np.ndarray, "n k"], penalty: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "k d"]:
    """Weights of the multinomial regression with soft labels, columns penalised by `penalty`."""
    count, (classes, width) = len(features), (targets.shape[1], features.shape[1])
    weights = np.zeros((classes, width))
    # Adding a row to all of `weights` changes nothing, so the Hessian needs that direction filled.
    gauge = np.kron(np.ones((classes, classes)), np.eye(width))

    def objective(weights: np.ndarray) -> float:
        fit = -np.sum(targets * log_softmax(features @ weights.T, axis=1)) / count
        return float(fit + 0.5 * np.sum(penalty * weights**2))

    value = objective(weights)
    for _ in range(ROUNDS):
        chances = softmax(features @ weights.T, axis=1)
        slope = ((chances - targets).T @ features / count + penalty * weights).reshape(-1)
        curvature = _hessian(features, chances) + np.diag(np.tile(penalty, classes)) + gauge
        step = np.linalg.solve(curvature, slope).reshape(weights.shape)
        decrement = float(slope @ step.reshape(-1))
        if decrement < CLOSE:
            return weights
        size = 1.0
        while (new := objective(weights - size * step)) > value - 0.1 * size * decrement:
            size /= 2
            if size < 1e-8:  # the objective is at its last digit
                return weights
        weights, value = weights - size * step, new
    return weights


def _hessian(features: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """E (diag p - p pᵀ) ⊗ h hᵀ, (k d, k d)."""
    count, classes, width = len(features), chances.shape[1], features.shape[1]
    total = np.zeros((classes * width, classes * width))
    for rows in _chunks(count, max(1, CHUNK // len(total))):
        part, chance = features[rows], chances[rows]
        product = (chance[:, :, None] * part[:, None, :]).reshape(len(part), -1)
        total -= product.T @ product
        for index in range(classes):
            block = slice(index * width, (index + 1) * width)
            total[block, block] += (part * chance[:, index, None]).T @ part
    return total / count


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover `count` of them."""
    return (slice(begin, begin + size) for begin in range(0, count, size))


def _clipped(read: np.ndarray, floor: float) -> np.ndarray:
    """Numbers made probabilities of at least about `floor`."""
    clipped = np.clip(read, floor, None)
    return clipped / clipped.sum(axis=-1, keepdims=True)


def _checked_beliefs(beliefs: Targets) -> Targets:
    """Refuse what are no probabilities over the last axis."""
    beliefs = np.asarray(beliefs, float)
    if beliefs.size and (beliefs.min() < -1e-5 or np.abs(beliefs.sum(axis=-1) - 1).max() > 1e-4):
        raise Misuse(
            "Beliefs must be at least 0 and add to 1 over their last axis, got a least entry of "
            f"{beliefs.min():.4g} and sums from {beliefs.sum(axis=-1).min():.4g} to "
            f"{beliefs.sum(axis=-1).max():.4g}."
        )
    return beliefs.clip(0)


def _rows(array: np.ndarray) -> np.ndarray:
    """All leading axes as one, in float64."""
    return np.asarray(array, float).reshape(-1, array.shape[-1])
