"""Retraining from scratch on D with a share of D', a reference that any study can ask for. No jax.

To any Bayesian p(x given D, D') has no order of D and D'. So networks are pretrained anew, each from the
initial weights and on the documents of a base network, but with documents of D' among them. The share is
fitted in-domain, like the strength of a theory. Every share takes as long as so many base networks do.
"""

import itertools
from dataclasses import dataclass

from theory.errors import Misuse

NAME = "retrained"  # of the reference, beside theories


@dataclass(frozen=True)
class Retraining:
    """Networks pretrained from scratch on D and D'."""

    shares: tuple[float, ...] = ()
    """Shares of D' among the documents of pretraining, ascending; none: nothing is retrained."""
    bases: int = 4
    """Base networks that are pretrained anew, the first ones, each with the first D'."""

    def __post_init__(self) -> None:
        inside = all(0 < share < 1 for share in self.shares)
        if not inside or any(high <= low for low, high in itertools.pairwise(self.shares)):
            given = ", ".join(f"{share:g}" for share in self.shares)
            raise Misuse(f"retrained.shares must ascend between 0 and 1, got {given}.")
        if self.bases < 1:
            raise Misuse(f"retrained.bases must be at least 1, got {self.bases}.")
