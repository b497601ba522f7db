"""Evidence that D' carries on the hypothesis, in nats: as exact Bayes sees it, and as a predictor uses it.

    evidence    log odds of the best hypothesis z* given all of D' less its log odds before: the log Bayes
                factor ℓ(z*) - log Σ_{z ≠ z*} π(z) e^ℓ(z) / (1 - π(z*)), ℓ(z) = Σ_{x in D'} log p(x | z)
    inference   mean over documents of log q(x) - log u(x) over counted positions, u the predictor that knows
                all hypotheses and never infers of which a document is (`theory.latent.mixture.Uninformed`)

For the exact process, inference is what reading the earlier answers of a document is worth for the later
ones; for a network, what it has learnt to make of them. Their ratio is the share of inference learnt on D'.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theory.base import Dataset, Predictor, log_likelihood
from theory.latent.mixture import Mixture, Uninformed


def evidence(process: Mixture, data: Dataset) -> Float[Array, ""]:
    """The log Bayes factor (nats) of the hypothesis under which D' is most likely, against all others.

    Infinite where D' rules all others out.
    """
    likelihoods = process.log_likelihoods(data).sum(axis=-1)
    prior = jax.nn.log_softmax(process.log_weights)
    best = jnp.argmax(likelihoods)
    others = jnp.where(jnp.arange(len(prior)) == best, -jnp.inf, prior)
    mean = jax.nn.logsumexp(others + likelihoods) - jax.nn.logsumexp(others)
    return likelihoods[best] - mean


def inference(predictor: Predictor, process: Mixture, data: Dataset) -> Float[Array, ""]:
    """Nats a document of D' by which a predictor is better than one that never infers the hypothesis."""
    gain = log_likelihood(predictor, data) - log_likelihood(Uninformed(process), data)
    return jnp.mean(gain)
