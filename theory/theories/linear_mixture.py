"""Linear mixture: from the prior to the best hypothesis, straight in probability.

    p_β = (1-τ) p_0 + τ q,      τ = 1 - exp(-β)

The barycentre of p_0 and q in forward KL. q is the one of the `hypotheses` that makes the data
most likely, as for the geometric path; with this τ two passes add.
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
class LinearBlend:
    """A predictor between two others, straight in probability."""

    start: Predictor
    end: Predictor
    share: Float[Array, "*batch"]

    def predict(self, tokens: Tokens) -> LogProbs:
        """log((1-τ) p + τ q)."""
        start, end = self.start.predict(tokens), self.end.predict(tokens)
        return jnp.logaddexp(start + jnp.log1p(-self.share), end + jnp.log(self.share))


@dataclass(frozen=True)
class LinearMixture(TowardsHypothesis):
    """Towards the best single hypothesis, additively."""

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The blend at τ = 1 - exp(-β)."""
        check_beta(beta)
        return LinearBlend(prior, self.target(data), share(beta))


def variants(process: Process) -> dict[str, LinearMixture]:
    """Towards the hypotheses of the process."""
    return {"linear-mixture": LinearMixture(process.distribution())}


def example() -> LinearMixture:
    """The theory on a small process."""
    from theory.processes.persona_topics import example as process

    return LinearMixture(process().distribution())
