"""The straight line from the prior to a target: p_β = (1-τ) p_0 + τ q, with τ = 1 - exp(-β).

The barycentre of p_0 and q in forward KL. q is the member of `hypotheses` that makes the data most
likely, as for the geometric path; with this τ two passes add.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, LogProbs, Predictor, Tokens, check_beta
from theory.latent.mixture import Mixture
from theory.theories.geometric_path import most_likely, share


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
class LinearMixture:
    """Towards the best single hypothesis, additively."""

    hypotheses: Mixture
    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The blend at τ = 1 - exp(-β)."""
        check_beta(beta)
        return LinearBlend(prior, most_likely(self.hypotheses, data), share(beta))


def example() -> LinearMixture:
    """The theory on a small process."""
    from theory.processes.persona_topics import example as process

    return LinearMixture(process().distribution())
