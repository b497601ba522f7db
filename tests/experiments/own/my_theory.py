"""Forgetting: answers go to uniform, p_β ∝ p_0^exp(-β), whatever D' says."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, LogProbs, Predictor, Tokens, check_beta
from theory.contracts import Scale, Theory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Flattened:
    """A predictor with its log-probabilities times `share`, normalised."""

    prior: Predictor
    share: Beta

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the next tokens."""
        return jax.nn.log_softmax(self.share * self.prior.predict(tokens), axis=-1)


@dataclass(frozen=True)
class Forgetting(Theory[Predictor]):
    """The predictor on its way to uniform answers."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The flattened prior."""
        check_beta(beta)
        return Flattened(prior, jnp.exp(-beta))

    def grid(self, scale: Scale) -> np.ndarray:
        """Up to β = 8."""
        return np.linspace(0, 8, 9).astype(np.float32)


def example() -> Forgetting:
    """The theory."""
    return Forgetting()
