"""Geometric path: from the prior to the best hypothesis, straight in log-probability.

    p_β ∝ p_0^(1-τ) q^τ,      τ = 1 - exp(-β)

Equals KL-regularised finetuning with reward log(q / p_0) (Korbak et al., arXiv 2205.11275), here one
token at a time: each next-token distribution is normalised by itself. q is the one of the
`hypotheses` that makes the data most likely. With this τ two passes add: (1-τ1)(1-τ2) = exp(-β1-β2).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, LogProbs, Predictor, Tokens, check_beta
from theory.contracts import Process
from theory.theories.best_hypothesis import TowardsHypothesis, share


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GeometricBlend:
    """A predictor between two others, straight in log-probability."""

    start: Predictor
    end: Predictor
    share: Float[Array, "*batch"]

    def predict(self, tokens: Tokens) -> LogProbs:
        """(1-τ) log p + τ log q, normalised; a token impossible under either stays impossible for τ > 0."""
        start, end = self.start.predict(tokens), self.end.predict(tokens)
        # an impossible token has -inf, and 0 × -inf is not 0
        ending = jnp.where(self.share > 0, self.share * end, 0.0)
        starting = jnp.where(self.share < 1, (1 - self.share) * start, 0.0)
        return jax.nn.log_softmax(starting + ending, axis=-1)


@dataclass(frozen=True)
class GeometricPath(TowardsHypothesis):
    """Towards the best single hypothesis, multiplicatively."""

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The blend at τ = 1 - exp(-β)."""
        check_beta(beta)
        return GeometricBlend(prior, self.target(data), share(beta))


def variants(process: Process) -> dict[str, GeometricPath]:
    """Towards the hypotheses of the process."""
    return {"geometric-path": GeometricPath(process.distribution())}


def example() -> GeometricPath:
    """The theory on a small process."""
    from theory.processes.persona_topics import example as process

    return GeometricPath(process().distribution())
