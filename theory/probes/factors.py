"""Factored or joint codes: two factors of a belief held apart, or as one belief over their combinations.

    interaction   b(u, d) - b(u) b(d): what beliefs about the factors alone do not have; 0 where these are
                  independent given the context
    joint         what of b(u, d) is not linear in b(u) and b(d): a joint code has it, a factored one not
    dimensions    principal components for 95 % of the variance of streams that a belief explains
    angles        between what is written by the factors, in whitened coordinates (90°: held apart), beside
                  that of random subspaces of their sizes

A factored code of factors with m and n states needs m + n - 2 dimensions, a joint one m n - 1. Arrays are
numpy's; no jax. Shai et al., arXiv 2602.02385, for networks that factor.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import subspace_angles

from theory.errors import Misuse
from theory.probes.codes import fit_linear, fit_probability
from theory.probes.subspaces import angles, covariance, pattern

SHARE = 0.95  # of a variance
FLAT = 1e-6  # standard deviation of a target below which there is none


def factor_beliefs(
    beliefs: Float[np.ndarray, "... k"], factors: tuple[int, ...]
) -> tuple[Float[np.ndarray, "..."], ...]:
    """The marginals of a belief over combinations of factors, the last varying fastest."""
    joint = _joint(beliefs, factors)
    lead = joint.ndim - len(factors)
    return tuple(
        joint.sum(axis=tuple(lead + other for other in range(len(factors)) if other != factor))
        for factor in range(len(factors))
    )


def interaction(beliefs: Float[np.ndarray, "... k"], factors: tuple[int, int]) -> Float[np.ndarray, "... k"]:
    """b(u, d) - b(u) b(d)."""
    first, second = factor_beliefs(beliefs, factors)
    return beliefs - (first[..., :, None] * second[..., None, :]).reshape(np.shape(beliefs))


def beyond_factors(
    beliefs: Float[np.ndarray, "n t k"], factors: tuple[int, int], fitted: Bool[np.ndarray, "n t"]
) -> Float[np.ndarray, "n t k"]:
    """The part of b(u, d) that is not linear in b(u) and b(d), by a regression on the `fitted` contexts."""
    alone = np.concatenate(factor_beliefs(beliefs, factors), axis=-1)
    return beliefs - fit_linear(alone[fitted], beliefs[fitted]).predict(alone)


def varies(targets: Float[np.ndarray, "... k"]) -> bool:
    """Whether there is anything to explain."""
    return bool(np.sqrt(np.mean(np.var(targets.reshape(-1, targets.shape[-1]), axis=0))) > FLAT)


def dimensions(values: Float[np.ndarray, "... d"], share: float = SHARE) -> int:
    """Principal components for a share of the variance of values."""
    parts = np.linalg.eigvalsh(covariance(values))[::-1].clip(0)
    return 1 + int(np.searchsorted(np.cumsum(parts), share * parts.sum()))


def explained_dimensions(
    streams: Float[np.ndarray, "n d"], beliefs: Float[np.ndarray, "n k"], share: float = SHARE
) -> int:
    """Principal components for a share of the variance that a belief explains of streams, linearly."""
    return dimensions(fit_linear(beliefs, streams).predict(beliefs), share)


def code_dimensions(
    beliefs: Float[np.ndarray, "n k"], factors: tuple[int, ...], share: float = SHARE
) -> tuple[int, int]:
    """Principal components for a share of the variance of an exact code: of beliefs about the factors side by
    side, and of the joint belief."""
    apart = np.concatenate(factor_beliefs(beliefs, factors), axis=-1)
    return dimensions(apart, share), dimensions(beliefs, share)


def chance_angle(width: int, sizes: tuple[int, int], random: np.random.Generator, count: int = 200) -> float:
    """The mean least principal angle (degrees) between random subspaces of these sizes."""
    drawn = [[random.normal(size=(width, size)) for size in sizes] for _ in range(count)]
    return float(np.mean([np.degrees(subspace_angles(*pair)).min() for pair in drawn]))


def factor_angle(
    streams: Float[np.ndarray, "n d"], beliefs: Float[np.ndarray, "n k"], factors: tuple[int, int]
) -> float:
    """The least principal angle (degrees) between the patterns of probes of the two factors."""
    spread = covariance(streams)
    written = [
        pattern(fit_probability(streams, part).filters, spread) for part in factor_beliefs(beliefs, factors)
    ]
    return float(np.degrees(angles(written[0], written[1], spread)[0]))


def _joint(beliefs: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    if np.shape(beliefs)[-1] != np.prod(factors):
        raise Misuse(
            f"Beliefs over combinations of factors {factors} need {int(np.prod(factors))} entries, got "
            f"{np.shape(beliefs)[-1]}."
        )
    return np.asarray(beliefs, float).reshape(*np.shape(beliefs)[:-1], *factors)
