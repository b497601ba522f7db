"""KL divergence between predictions, and the share of a shift that a theory explains.

    explained = 1 - mean_c KL(finetuned ‖ theory) / mean_c KL(finetuned ‖ base)

KL is in nats between next-answer distributions. See theory.md, section 2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.base import Dataset, LogProbs, Predictor, Tokens


def kl(left: Float[Array, "*s a"], right: Float[Array, "*s a"]) -> Float[Array, "*s"]:
    """KL(left ‖ right) in nats, from log-probabilities; 0 log 0 counts as 0."""
    terms = jnp.exp(left) * (left - right)
    return jnp.sum(jnp.where(jnp.isneginf(left), 0.0, terms), axis=-1)


def total_variation(left: Float[Array, "*s a"], right: Float[Array, "*s a"]) -> Float[Array, "*s"]:
    """½ Σ |p - q|, from log-probabilities."""
    return 0.5 * jnp.sum(jnp.abs(jnp.exp(left) - jnp.exp(right)), axis=-1)


def explained(finetuned: Array, theory: Array, base: Array) -> Float[Array, ""]:
    """Share of the shift from base to finetuned that the theory predicts, over contexts (c, a)."""
    return 1 - jnp.mean(kl(finetuned, theory)) / jnp.mean(kl(finetuned, base))


def answers_at(predictor: Predictor, tokens: Tokens, answers: slice) -> LogProbs:
    """Log-probabilities over the answer tokens alone, renormalised, shape (n, t, a)."""
    return renormalised(predictor.predict(tokens)[..., answers])


def renormalised(log_probs: Float[Array, "*shape a"]) -> Float[Array, "*shape a"]:
    """Log-probabilities that add to one over the last axis; uniform where none is possible, as at positions
    that have no answer."""
    impossible = jnp.all(log_probs == -jnp.inf, axis=-1, keepdims=True)  # of nan it says nothing: that stays
    return jax.nn.log_softmax(jnp.where(impossible, 0.0, log_probs), axis=-1)


def answer_loss(log_probs: Float[Array, "*k n t a"], data: Dataset, answers: slice) -> Float[Array, "*k"]:
    """Mean negative log-probability (nats) of the counted answers of documents, from `answers_at` of them.

    Counted tokens that are no answers are omitted; nan where none is left.
    """
    counted = counted_answers(data, answers)
    given = jax.nn.one_hot(jnp.asarray(data.tokens) - answers.start, log_probs.shape[-1], dtype=bool)
    chosen = jnp.where(given & counted[..., None], log_probs, 0.0)
    return -jnp.sum(chosen, axis=(-1, -2, -3)) / jnp.sum(counted)


def counted_answers(data: Dataset, answers: slice) -> Bool[Array | np.ndarray, "n t"]:
    """The places of documents where an answer counts, bool (n, t)."""
    return data.mask & (data.tokens >= answers.start) & (data.tokens < answers.stop)
