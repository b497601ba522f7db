"""Residuals of a theory: by context, by layer and by eigendirection. Numpy only.

    residual   KL(finetuned ‖ theory) in a context, in nats: the part of the shift that is not explained
    shift      KL(finetuned ‖ base) in it

Axes: s seeds, d doses, c contexts, a answers, g groups, p weights, k eigenvectors; `...` is any of those in
front. Log-probabilities are normalised over answers. These are measurements of given arrays, without error
bars: those take several seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from theory.errors import Misuse

LogProbs: TypeAlias = Float[np.ndarray, "... c a"]
Numbers: TypeAlias = np.ndarray | np.floating | float
Tree: TypeAlias = Any  # nested mappings and sequences of arrays


@dataclass(frozen=True)
class Split:
    """A residual by label of contexts: `labels` (g,) in order of first occurrence, the `count` of contexts
    of each, mean `residual` and `shift` (nats a context) and `share` of the whole residual, (..., g).
    Shares add to 1, and are nan where there is no residual."""

    labels: Shaped[np.ndarray, " g"]
    count: Shaped[np.ndarray, " g"]
    residual: Float[np.ndarray, "... g"]
    shift: Float[np.ndarray, "... g"]
    share: Float[np.ndarray, "... g"]

    @property
    def explained(self) -> Float[np.ndarray, "... g"]:
        """1 - residual / shift of each label; nan where the shift is 0."""
        return 1 - _ratio(self.residual, self.shift)


@dataclass(frozen=True)
class Layer:
    """Two updates of the same weights: their norms (Euclidean, in the weights' own unit), the cosine between
    them (nan if either is 0) and the relative error ‖actual - theory‖ / ‖actual‖ (nan if `actual` is 0)."""

    actual: float
    theory: float
    cosine: float
    relative_error: float


def kl(left: LogProbs, right: LogProbs) -> Float[np.ndarray, "... c"]:
    """KL(left ‖ right) in nats, from log-probabilities; 0 log 0 counts as 0."""
    left, right = np.asarray(left, float), np.asarray(right, float)
    with np.errstate(invalid="ignore"):
        terms = np.exp(left) * (left - right)
    return np.sum(np.where(np.isneginf(left), 0.0, terms), axis=-1)


def split(
    finetuned: LogProbs, theory: LogProbs, base: LogProbs, labels: Sequence[object] | np.ndarray
) -> Split:
    """The residual by label: groups of contexts, their topics, documents, or `range(c)` for single contexts.

    Axes in front of contexts (seeds, doses) are kept; to combine seeds, average residuals and shifts over
    them, not shares.
    """
    labels = np.asarray(labels)
    contexts = np.shape(finetuned)[-2]
    if labels.shape != (contexts,):
        raise Misuse(f"Every context needs a label, got {contexts} contexts and labels {labels.shape}.")
    names = np.asarray(list(dict.fromkeys(labels)))
    groups = [labels == name for name in names]
    residual, shift = (
        np.stack([divergence[..., group].mean(axis=-1) for group in groups], axis=-1)
        for divergence in (kl(finetuned, theory), kl(finetuned, base))
    )
    count = np.sum(groups, axis=1)
    share = _ratio(count * residual, np.sum(count * residual, axis=-1, keepdims=True))
    return Split(names, count, residual, shift, share)


def concentration(residual: Float[np.ndarray, "... c"]) -> Float[np.ndarray, "... c"]:
    """The share of a residual in its largest entry, its two largest, and so on to 1: k/c if uniform."""
    largest = np.cumsum(np.sort(np.asarray(residual, float), axis=-1)[..., ::-1], axis=-1)
    return _ratio(largest, largest[..., -1:])


def layers(actual: Tree, theory: Tree, layer: Callable[[str], str] = str) -> dict[str, Layer]:
    """The actual update against a theory's, layer by layer, from nested mappings and lists alike.

    Every array is a layer, named by its path ("blocks.0.up_proj.kernel"), unless `layer` gives several an
    equal name: `lambda name: "all"` is the whole network.
    """
    ours, theirs = _leaves(actual), _leaves(theory)
    left, right = ({name: leaf.shape for name, leaf in tree.items()} for tree in (ours, theirs))
    unequal = [name for name in left | right if left.get(name) != right.get(name)]
    if unequal:
        raise Misuse(f"Both updates need the same arrays of the same shapes; they differ at {unequal}.")
    groups = {group: [name for name in ours if layer(name) == group] for group in map(layer, ours)}

    def flat(tree: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
        return np.concatenate([tree[name].ravel() for name in names])

    return {group: _compared(flat(ours, names), flat(theirs, names)) for group, names in groups.items()}


def _compared(actual: np.ndarray, theory: np.ndarray) -> Layer:
    ours, theirs = np.linalg.norm(actual), np.linalg.norm(theory)
    error = np.linalg.norm(actual - theory)
    return Layer(*map(float, (ours, theirs, _ratio(actual @ theory, ours * theirs), _ratio(error, ours))))


def captured(
    update: Float[np.ndarray, "... _p"],
    eigenvalues: Float[np.ndarray, " _k"],
    eigenvectors: Float[np.ndarray, "_k _p"],
) -> Float[np.ndarray, "... _k"]:
    """The share of ‖update‖² in the span of the 1, 2, ... k eigenvectors of largest eigenvalue, ascending.

    By chance it is k/p. The update is in the space of the vectors: weights for a Hessian, answers for a
    kernel. Vectors need not be orthogonal (those of Lanczos are not quite), but independent; nan for an
    update of 0.
    """
    update, values, vectors = (np.asarray(array, float) for array in (update, eigenvalues, eigenvectors))
    if vectors.ndim != 2 or values.shape != vectors.shape[:1] or update.shape[-1:] != vectors.shape[1:]:
        raise Misuse(
            f"Eigenvalues (k,) and eigenvectors (k, p) of an update (..., p) are needed, got {values.shape}, "
            f"{vectors.shape} and {update.shape}."
        )
    leading = vectors[np.argsort(-values, kind="stable")]
    try:
        mixing = np.linalg.cholesky(leading @ leading.T)
    except np.linalg.LinAlgError:
        mixing = np.zeros((len(leading), len(leading)))
    outside = np.diag(mixing)  # of each vector, the length outside the span of those before it
    if np.any(outside <= 1e-6 * np.linalg.norm(leading, axis=1)):
        raise Misuse(f"The {len(leading)} eigenvectors are not independent; omit those that repeat.")
    inside = np.cumsum(np.linalg.solve(mixing, (update @ leading.T)[..., None])[..., 0] ** 2, axis=-1)
    return _ratio(inside, np.sum(update**2, axis=-1, keepdims=True))


def _leaves(tree: Tree, path: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested mappings and sequences by dotted path."""
    if isinstance(tree, Mapping):
        inner = tree.items()
    elif isinstance(tree, (list, tuple)):
        inner = enumerate(tree)
    else:
        return {path: np.asarray(tree, float)}
    return {
        name: leaf
        for key, value in inner
        for name, leaf in _leaves(value, f"{path}.{key}" if path else str(key)).items()
    }


def _ratio(numerator: Numbers, denominator: Numbers) -> np.ndarray:
    """numerator / denominator, nan where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, np.divide(numerator, denominator))
