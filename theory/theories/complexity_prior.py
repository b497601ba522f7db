"""Simple predictors are believed first: log w_i = -(K_i)^b ln 2 - β γ N^(1-α) L_i, normalised.

    K_i   description length of predictor i, in bits (not given: -log2 of its weight in the prior)
    b     how much length counts: 1 is the prior 2^-K, below 1 it spares the longest
    N     counted positions of D',  L_i = mean loss (nats) of predictor i at one of them
    γ, α  size and sublinearity of the evidence: D' twice as large tells 2^(1-α) times as much

Wurgaft et al., arXiv 2506.17859, where N counts steps of pretraining and there is no β; here β multiplies
the evidence of D' (what pretraining told is in K, or in the weights that K is read from). After `passes`
visits of each document their law says β = passes^(1-α), which is γ (passes × N)^(1-α) L_i. With α = 0,
γ = 1, b = 1 and no lengths given this is the tempered posterior.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta
from theory.ensemble import Mixture


@dataclass(frozen=True)
class ComplexityPrior:
    """`description_lengths` are K ≥ 0 in bits, `exponent` is b > 0, `scale` is γ > 0, and α is in [0, 1)."""

    description_lengths: tuple[float, ...] | None = None
    exponent: float = 1.0
    scale: float = 1.0
    alpha: float = 0.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "weights start from the description lengths, not from the prior's own weights",
            "additive": "a second pass starts from the description lengths again",
        }
    )

    def __post_init__(self) -> None:
        lengths = np.asarray(self.description_lengths if self.description_lengths is not None else 0.0)
        if not (np.isfinite(lengths) & (lengths >= 0)).all():
            raise Misuse(f"Description lengths must be finite and at least 0 bits, got {lengths.tolist()}.")
        for name in ("exponent", "scale"):
            if not 0 < getattr(self, name) < np.inf:
                raise Misuse(f"{name} must be finite and above 0, got {getattr(self, name)}.")
        if not 0 <= self.alpha < 1:
            raise Misuse(f"alpha must be at least 0 and below 1, got {self.alpha}.")

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The prior's members under the weights of the formula."""
        check_beta(beta)
        counted = jnp.maximum(jnp.sum(data.mask), 1)
        loss = -prior.log_likelihoods(data).sum(axis=-1) / counted
        evidence = -beta * self.scale * counted ** (1 - self.alpha) * loss
        # a predictor that finds the data impossible has an infinite loss, and 0 × ∞ is not 0
        return prior.with_log_weights(self.log_prior(prior) + jnp.where(beta == 0, 0.0, evidence))

    def log_prior(self, prior: Mixture) -> Float[Array, " k"]:
        """-(K_i)^b ln 2, not normalised."""
        if self.description_lengths is None:
            lengths = -jax.nn.log_softmax(prior.log_weights) / jnp.log(2)
        else:
            lengths = jnp.asarray(self.description_lengths, float)
        if lengths.shape != prior.log_weights.shape:
            raise Misuse(
                f"Each of the {prior.log_weights.shape[0]} predictors needs a description length, "
                f"got {lengths.shape[0]}."
            )
        return -(lengths**self.exponent) * jnp.log(2)

    def strength(self, passes: Beta) -> Beta:
        """β after each document was visited so often, by the law of pretraining."""
        return passes ** (1 - self.alpha)


def example() -> ComplexityPrior:
    """Three predictors, the last one long."""
    return ComplexityPrior((1.0, 1.0, 4.0), exponent=0.7, alpha=0.3)
