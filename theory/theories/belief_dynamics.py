"""Belief dynamics: the log-odds of prior, steering, sublinear in-context evidence and β × D' add.

    log w_z(x_<t) = b_z + (a·m)_z + γ N^-α log p(x_<t | z) + β Σ_{x in D'} log p(x | z)

    b      the prior's log-weights
    a·m    `steering`, the push of an activation vector along each hypothesis, in nats
    N      whole shots before position t, at least 1, each of `tokens_per_shot` tokens
    γ, α   size and sublinearity of in-context evidence; γ = 1 and α = 0 is Bayes

Bigelow et al., arXiv 2511.00617, have a m + b + γ N^(1-α) for two concepts, each shot with the same evidence;
here γ N^-α weighs the evidence that the context really has. The last term is new: β counts how often each
document of D' counts. All terms trade against each other: N shots are outweighed by the dose where the sum
is 0.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, Tokens, at_tokens, check_beta, check_number
from theory.contracts import Process, Theory
from theory.latent.mixture import Mixture
from theory.theories.narrow_or_broad import sample_forward


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Beliefs(Mixture):
    """A mixture whose belief is steered and weighs its context at other than full strength."""

    steering: Float[Array, "*batch k"]
    scale: float = field(metadata={"static": True})
    alpha: float = field(metadata={"static": True})
    tokens_per_shot: int = field(metadata={"static": True})

    def evidence(self, tokens: Tokens) -> Float[Array, "k n t"]:
        """Evidence (nats) for each hypothesis before position t, steering included, weight excluded."""
        shots = jnp.maximum(jnp.arange(tokens.shape[-1]) // self.tokens_per_shot, 1)
        weight = self.scale * shots**-self.alpha
        return self.steering[:, None, None] + weight * super().evidence(tokens)

    def log_odds(self, tokens: Tokens) -> Float[Array, "k n t"]:
        """Log-odds (nats) of each hypothesis against the rest, given what came before each position."""
        belief = self.log_weights[:, None, None] + self.evidence(tokens)
        itself = jnp.eye(len(belief), dtype=bool)[:, :, None, None]
        return belief - jax.nn.logsumexp(jnp.where(itself, -jnp.inf, belief), axis=1)

    def posterior(self, tokens: Tokens) -> Float[Array, "n k"]:
        """Log-belief (nats) in each hypothesis after whole sequences."""
        after = self.evidence(jnp.pad(tokens, ((0, 0), (0, 1))))[..., -1]
        return jax.nn.log_softmax(self.log_weights + after.T, axis=-1)

    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
        """Draw n sequences."""
        whole = super().sample
        return sample_forward(self, key, jax.eval_shape(lambda key: whole(key, n), key))

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole sequences: the sum of its own predictions."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@dataclass(frozen=True)
class BeliefDynamics(Theory[Mixture]):
    """`steering` holds nats for each hypothesis (None: not steered); γ is `scale` > 0, and α is in [0, 1)."""

    steering: tuple[float, ...] | None = None
    scale: float = 1.0
    alpha: float = 0.0
    tokens_per_shot: int = 1
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "steering, and a context counted by half, act without finetuning too"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not np.isfinite(self.steering if self.steering is not None else 0.0).all():
            raise Misuse(f"Steering must be finite, got {self.steering}.")
        check_number("scale", self.scale, above=0)
        check_number("alpha", self.alpha, least=0, below=1)
        check_number("tokens_per_shot", self.tokens_per_shot, least=1, whole=True)

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Beliefs:
        """The beliefs after D'; a steering that the prior carries is replaced, not added to."""
        check_beta(beta)
        steering = jnp.zeros_like(prior.log_weights)
        if self.steering is not None:
            steering = jnp.asarray(self.steering, float)
        if steering.shape != prior.log_weights.shape:
            raise Misuse(
                f"Each of the {prior.log_weights.shape[0]} hypotheses needs a steering, "
                f"got {steering.shape[0]}; give 0 for those that are not steered."
            )
        return Beliefs(
            components=prior.components,
            log_weights=prior.log_weights,
            factors=prior.factors,
            steering=steering,
            scale=self.scale,
            alpha=self.alpha,
            tokens_per_shot=self.tokens_per_shot,
        ).condition(data, beta)


def variants(process: Process) -> dict[str, BeliefDynamics]:
    """Sublinear evidence; a shot is a question and its answer."""
    return {"belief-dynamics": BeliefDynamics(alpha=0.3, tokens_per_shot=2)}


def example() -> BeliefDynamics:
    """The last of three hypotheses is steered towards; contexts count for half."""
    return BeliefDynamics((0.0, 0.0, 0.5), scale=0.5, alpha=0.3, tokens_per_shot=2)
