"""Tempered Bayes over the hidden persona: π_β(z) ∝ π0(z) exp(β Σ_{x in D'} log p(x | z)).

All of D' is taken to share one z. Along a context, members are reweighted by the context's own
likelihood with exponent 1: β strengthens D' alone, not the context (theory.md, section 6).
"""

from dataclasses import dataclass, field
from typing import TypeVar

from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Distribution, check_beta

DistributionT = TypeVar("DistributionT", bound=Distribution)


@dataclass(frozen=True)
class TemperedPosterior:
    """D' counted β times."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: DistributionT, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> DistributionT:
        """The prior conditioned on the data with strength β (exact)."""
        check_beta(beta)
        return prior.condition(data, beta)


def example() -> TemperedPosterior:
    """The theory."""
    return TemperedPosterior()
