"""Common part of theories that lead from the prior to the best hypothesis, by a share τ = 1 - exp(-β).

With this τ two passes add: (1-τ1)(1-τ2) = exp(-β1-β2).
"""

from dataclasses import dataclass, field, replace
from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import Beta, Dataset, Misuse, Predictor
from theory.contracts import Scale, Setting, Theory
from theory.latent.mixture import Mixture


@dataclass(frozen=True)
class TowardsHypothesis(Theory[Predictor]):
    """A theory that leads to the best of its `hypotheses`; without any, `complete` takes those of the exact
    process."""

    hypotheses: Mixture | None = None
    breaks: dict[str, str] = field(default_factory=dict)

    def target(self, data: Dataset) -> Predictor:
        """The hypothesis under which the data is most likely."""
        if self.hypotheses is None:
            raise Misuse(f"{type(self).__name__} needs hypotheses, got None; give it a mixture of them.")
        return most_likely(self.hypotheses, data)

    def complete(self, setting: Setting) -> Self:
        """With the hypotheses of the exact process, if it has none."""
        return self if self.hypotheses is not None else replace(self, hypotheses=setting.process)

    def grid(self, scale: Scale) -> np.ndarray:
        """β of a share: beyond 16 there is nothing left of the prior."""
        return np.concatenate([[0.0], np.logspace(-4, 1.2, 79)]).astype(np.float32)


def share(beta: Beta) -> Float[Array, ""]:
    """τ = 1 - exp(-β), exact for small β."""
    return -jnp.expm1(-jnp.asarray(beta, float))


def most_likely(hypotheses: Mixture, data: Dataset) -> Predictor:
    """The component under which the data is most likely."""
    return hypotheses.component(jnp.argmax(hypotheses.log_likelihoods(data).sum(axis=-1)))
