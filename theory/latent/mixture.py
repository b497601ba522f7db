"""A mixture of processes with one hidden member per sequence: the exact Bayes predictor.

    p(x) = Σ_z w_z p(x | z),    p(x_t | x_<t) = Σ_z p(z | x_<t) p(x_t | x_<t, z)

`factors` is the shape of the hidden variable where it is a product, e.g. (personas, domains); the
weights are its flattened joint. Conditioning on data with strength β reweights the members,
w_z ∝ w_z exp(β Σ log p(data | z)): every sequence of the data is taken to share one z
(theory.theories.exchangeable_mixture drops that).
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import (
    Beta,
    Dataset,
    LogProbs,
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
    """Members (a distribution whose arrays have a leading axis k) and their log-weights (k,), in nats."""

    components: Any
    log_weights: Float[Array, "*batch k"]
    factors: tuple[int, ...] = field(metadata={"static": True}, default=())

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """The exact next-token log-probabilities: members weighted by their posterior so far."""
        components = self.component_log_probs(tokens)
        belief = jax.nn.log_softmax(self.log_weights[:, None, None] + self.evidence(tokens), axis=0)
        return jax.nn.logsumexp(belief[..., None] + components, axis=0)

    @compiled()
    def component_log_probs(self, tokens: Tokens) -> Float[Array, "k n t v"]:
        """Every member's own log-probabilities."""
        return jax.vmap(lambda member: member.predict(tokens))(self.components)

    @compiled()
    def evidence(self, tokens: Tokens) -> Float[Array, "k n t"]:
        """log p(x_<t | z): what each member makes of everything before position t."""
        chosen = jax.vmap(at_tokens, (0, None))(self.component_log_probs(tokens), tokens)
        before = jnp.cumsum(chosen, axis=-1)[..., :-1]
        return jnp.concatenate([jnp.zeros_like(chosen[..., :1]), before], axis=-1)

    @compiled()
    def log_likelihoods(self, data: Dataset) -> Float[Array, "k n"]:
        """log p(sequence | z) over the counted positions."""
        return jax.vmap(lambda member: log_likelihood(member, data))(self.components)

    @compiled()
    def posterior(self, tokens: Tokens) -> Float[Array, "n k"]:
        """log p(z | x) given whole sequences."""
        counted = Dataset(tokens, jnp.ones(tokens.shape, bool))
        return jax.nn.log_softmax(self.log_weights + self.log_likelihoods(counted).T, axis=-1)

    @compiled("n")
    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
        """Draw n sequences, each from one member."""
        which, rest = jax.random.split(key)
        member = categorical(which, self.log_weights, shape=(n,))
        return jax.vmap(
            lambda index, key: jax.tree.map(lambda leaf: leaf[index], self.components).sample(key, 1)[0]
        )(member, jax.random.split(rest, n))

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
        # what all members share would cost the prior its last digits
        best = jnp.max(likelihood)
        likelihood = likelihood - jnp.where(jnp.isfinite(best), best, 0.0)
        # a member that finds the data impossible has -inf, and 0 × -inf is not 0
        return self.with_log_weights(self.log_weights + jnp.where(beta == 0, 0.0, beta * likelihood))

    def with_log_weights(self, log_weights: Float[Array, " k"]) -> Self:
        """The same members under other weights (normalised here)."""
        return replace(self, log_weights=jax.nn.log_softmax(log_weights))

    def member(self, index: Any) -> Any:
        """One member, as a distribution of its own."""
        return jax.tree.map(lambda leaf: leaf[index], self.components)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Average:
    """Predictors of one kind, averaged in probability position by position; `members` has a leading axis k.

    p(x_t | x_<t) = 1/k Σ p_k(x_t | x_<t): the predictive of a posterior over weights, in which a context is
    no evidence about the weights (a `Mixture` reweights its members along the context).
    """

    components: Any

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Log of the mean probability (nats), one member after the other (memory for two)."""
        count = jax.tree.leaves(self.components)[0].shape[0]
        first = jax.eval_shape(
            lambda components: components.predict(tokens), jax.tree.map(lambda leaf: leaf[0], self.components)
        )

        def add(told: Any, member: Any) -> tuple[Any, None]:
            return jnp.logaddexp(told, member.predict(tokens)), None

        total, _ = jax.lax.scan(add, jnp.full(first.shape, -jnp.inf, first.dtype), self.components)
        return total - jnp.log(count)

    @property
    def params(self) -> Any:
        """All members' weights."""
        return self.components.params

    def with_params(self, params: Any) -> Self:
        """The same average with other weights."""
        return replace(self, components=self.components.with_params(params))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Uninformed:
    """A predictor that knows all members of a process and never infers which one a document is of."""

    process: Mixture

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Members at their prior weights, whatever the context."""
        weights = jax.nn.log_softmax(self.process.log_weights)[:, None, None, None]
        return jax.nn.logsumexp(self.process.component_log_probs(tokens) + weights, axis=0)
