"""Mixtures of processes with one hidden component a sequence: the exact Bayes predictor.

    p(x) = Σ_z w_z p(x | z),    p(x_t | x_<t) = Σ_z p(z | x_<t) p(x_t | x_<t, z)

`factors` is the shape of the hidden variable where it is a product, e.g. (personas, domains); the
weights are its flattened joint. Conditioning on data with strength β reweights the components,
w_z ∝ w_z exp(β Σ log p(data | z)): every sequence of the data is taken to share one z
(theory.theories.exchangeable_mixture drops that).
"""

from dataclasses import dataclass, field, replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theory.base import (
    Beta,
    Dataset,
    Key,
    LogProbs,
    Model,
    Params,
    Tokens,
    at_tokens,
    check_beta,
    compiled,
    log_likelihood,
)
from theory.compute.random import categorical


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mixture:
    """Components (a distribution whose arrays have a leading axis k) and their log-weights (k,), in nats."""

    components: Model
    log_weights: Float[Array, "*batch k"]
    factors: tuple[int, ...] = field(metadata={"static": True}, default=())

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """The exact next-token log-probabilities: components weighted by their posterior so far."""
        components = self.component_log_probs(tokens)
        belief = jax.nn.log_softmax(self.log_weights[:, None, None] + self.evidence(tokens), axis=0)
        return jax.nn.logsumexp(belief[..., None] + components, axis=0)

    @compiled()
    def component_log_probs(self, tokens: Tokens) -> Float[Array, "k n t v"]:
        """The log-probabilities of every component by itself."""
        return jax.vmap(lambda component: component.predict(tokens))(self.components)

    @compiled()
    def evidence(self, tokens: Tokens) -> Float[Array, "k n t"]:
        """log p(x_<t | z): the log-likelihood under every component of all that comes before position t."""
        chosen = jax.vmap(at_tokens, (0, None))(self.component_log_probs(tokens), tokens)
        before = jnp.cumsum(chosen, axis=-1)[..., :-1]
        return jnp.concatenate([jnp.zeros_like(chosen[..., :1]), before], axis=-1)

    @compiled()
    def log_likelihoods(self, data: Dataset) -> Float[Array, "k n"]:
        """log p(sequence | z) over the counted positions."""
        return jax.vmap(lambda component: log_likelihood(component, data))(self.components)

    @compiled()
    def posterior(self, tokens: Tokens) -> Float[Array, "n k"]:
        """log p(z | x) given whole sequences."""
        counted = Dataset(tokens, jnp.ones(tokens.shape, bool))
        return jax.nn.log_softmax(self.log_weights + self.log_likelihoods(counted).T, axis=-1)

    @compiled("n")
    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n sequences, a component for each."""
        component_key, sample_key = jax.random.split(key)
        index = categorical(component_key, self.log_weights, shape=(n,))
        return jax.vmap(
            lambda index, key: jax.tree.map(lambda leaf: leaf[index], self.components).sample(key, 1)[0]
        )(index, jax.random.split(sample_key, n))

    @compiled()
    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability of whole sequences."""
        counted = Dataset(tokens, jnp.ones(tokens.shape, bool))
        weights = jax.nn.log_softmax(self.log_weights)
        return jax.nn.logsumexp(weights[:, None] + self.log_likelihoods(counted), axis=0)

    def condition(self, data: Dataset, beta: Beta) -> Self:
        """Weights times the likelihood of all the data to the power β."""
        check_beta(beta)
        return self._conditioned(data, 1.0 * beta)  # a whole number is a strength too

    @compiled()
    def _conditioned(self, data: Dataset, beta: Beta) -> Self:
        likelihood = self.log_likelihoods(data).sum(axis=-1)
        # The components' common likelihood is taken off: it would cost the prior its last digits.
        best = jnp.max(likelihood)
        likelihood = likelihood - jnp.where(jnp.isfinite(best), best, 0.0)
        # A component that finds the data impossible has -inf, and 0 × -inf is not 0.
        return self.with_log_weights(self.log_weights + jnp.where(beta == 0, 0.0, beta * likelihood))

    def with_log_weights(self, log_weights: Float[Array, " k"]) -> Self:
        """The same components under other weights, which are normalised here."""
        return replace(self, log_weights=jax.nn.log_softmax(log_weights))

    def component(self, index: int | np.integer | Int[Array, ""]) -> Model:
        """A single component, a distribution by itself."""
        return jax.tree.map(lambda leaf: leaf[index], self.components)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Average:
    """Predictors of one kind, averaged in probability position by position; a leading axis k stacks them.

    p(x_t | x_<t) = 1/k Σ p_k(x_t | x_<t): the predictive of a posterior over weights, in which a context is
    no evidence about the weights (a `Mixture` reweights its components along the context).
    """

    components: Model

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Log of the mean probability (nats), one component after the other (memory for two)."""
        count = jax.tree.leaves(self.components)[0].shape[0]
        first = jax.eval_shape(
            lambda components: components.predict(tokens), jax.tree.map(lambda leaf: leaf[0], self.components)
        )

        def add(total: LogProbs, component: Model) -> tuple[LogProbs, None]:
            return jnp.logaddexp(total, component.predict(tokens)), None

        total, _ = jax.lax.scan(add, jnp.full(first.shape, -jnp.inf, first.dtype), self.components)
        return total - jnp.log(count)

    @property
    def params(self) -> Params:
        """The weights of all components, stacked."""
        return self.components.params

    def with_params(self, params: Params) -> Self:
        """The same average with other weights."""
        return replace(self, components=self.components.with_params(params))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Uninformed:
    """A predictor that knows all components of a process and never infers of which a document is."""

    process: Mixture

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Components at their prior weights, whatever the context."""
        weights = jax.nn.log_softmax(self.process.log_weights)[:, None, None, None]
        return jax.nn.logsumexp(self.process.component_log_probs(tokens) + weights, axis=0)
