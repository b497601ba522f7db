"""Each document of D' has its own hidden z: the weights move to (κ π0 + β N) / (κ + β n).

N_z are the expected counts, N_z = Σ_{x in D'} p(z | x) under the prior weights (the responsibilities of
one EM step from π0), n the documents and κ the prior's own count: a Dirichlet prior over the weights.
Where z is a product (personas × domains, `Mixture.factors`) the family says what may move:

    saturated   the free joint: evidence stays in the cell it came from, so nothing reaches other domains
    product     the marginals only, re-multiplied: what is learnt about the persona reaches every domain

Responsibilities are those of whole documents, the mask notwithstanding: what a document asks tells its
domain. A saturated learner transfers exactly zero, a product learner fully (theory.md, 5.6).
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta
from theory.ensemble import Mixture


@dataclass(frozen=True)
class ExchangeableMixture:
    """Counts of personas, added to the prior's `concentration` κ > 0."""

    family: str = "saturated"
    concentration: float = 1.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "responsibilities are taken under the weights at hand, so a second pass differs"
        }
    )

    def __post_init__(self) -> None:
        if self.family not in ("saturated", "product"):
            raise Misuse(f"family must be 'saturated' or 'product', got {self.family!r}.")
        if not self.concentration > 0:
            raise Misuse(f"concentration must be above 0, got {self.concentration}.")

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The mixture with moved weights; for `product`, of an independent joint (the prior's own
        joint is replaced by the product of its marginals too, so β = 0 gives the prior only if the
        prior is a product)."""
        check_beta(beta)
        if self.family == "product" and len(prior.factors) < 2:
            raise Misuse(
                "The product family needs a prior whose hidden variable is a product, got factors = "
                f"{prior.factors}; use the saturated family."
            )
        counts = jnp.sum(jnp.exp(prior.posterior(data.tokens)), axis=0)
        before = jnp.exp(jax.nn.log_softmax(prior.log_weights))
        n = data.tokens.shape[0]
        joint = (self.concentration * before + beta * counts) / (self.concentration + beta * n)
        if self.family == "product":
            joint = _product_of_marginals(joint.reshape(prior.factors)).reshape(-1)
        return prior.with_log_weights(jnp.log(joint))


def _product_of_marginals(joint: Float[Array, "..."]) -> Float[Array, "..."]:
    """Π_f marginal_f, broadcast back to the joint's shape."""
    product = jnp.ones_like(joint)
    for axis in range(joint.ndim):
        others = tuple(other for other in range(joint.ndim) if other != axis)
        product = product * joint.sum(axis=others, keepdims=True)
    return product


def example() -> ExchangeableMixture:
    """The theory at its defaults."""
    return ExchangeableMixture()
