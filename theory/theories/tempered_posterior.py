"""Tempered posterior: Bayes over hypotheses with D' counted β times.

    π_β(z) ∝ π0(z) exp(β Σ_{x in D'} log p(x | z))

All of D' is taken to share one z. Along a context, hypotheses are reweighted by the context's own
likelihood with exponent 1: β strengthens D' alone, not the context (theory.md, section 6).
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Distribution, check_beta
from theory.contracts import Bound, Scale, Theory, Training

DistributionT = TypeVar("DistributionT", bound=Distribution)


@dataclass(frozen=True)
class TemperedPosterior(Theory[Distribution]):
    """D' counted β times."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: DistributionT, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> DistributionT:
        """The prior conditioned on the data with strength β (exact)."""
        check_beta(beta)
        return prior.condition(data, beta)

    @property
    def bound(self) -> Bound:
        """Any weights over the hypotheses."""
        return "mixture"

    def strength(self, training: Training, scale: Scale) -> np.ndarray:
        """Passes over D': each counts it once. A method that distils this theory has its teacher's β."""
        if training.teacher is not None:
            return np.full(len(training.doses), training.teacher)
        return training.passes


def example() -> TemperedPosterior:
    """The theory."""
    return TemperedPosterior()
