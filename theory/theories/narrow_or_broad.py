"""Narrow or broad: finetuning changes predictions at questions of D' alone, or everywhere.

    p = λ p_β + (1 - λ) (p_β there, p_0 elsewhere)

    p_0    the prior: the predictor before finetuning
    p_β    broad: the prior conditioned on D' counted β times, used at every position
    there  a position like D': the token `back` places before it stood so before a counted token of D', too
    λ      the prior probability of broad

Narrow changes p_0 at the questions of D' and nowhere else. Every counted position of D' is such a position,
so both make D' equally likely whatever β: D' cannot distinguish them, and their odds stay λ : 1 - λ. They are
hypotheses about whole documents: along a context their odds follow their predictions of it. Derived
here (theory.md, section 3). β counts how often each document of D' counts; λ = 1 is the tempered posterior.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from theory.base import (
    Beta,
    Dataset,
    Distribution,
    LogProbs,
    Model,
    Predictor,
    Tokens,
    at_tokens,
    check_beta,
    check_number,
)
from theory.compute.random import categorical
from theory.contracts import Theory


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scoped:
    """Two hypotheses about the reach of a finetuning; `questions` marks the tokens that are questions of D'.

    Its last entry stands for the start of a document, where no token is `back` places before.
    """

    before: Model
    after: Model
    questions: Bool[Array, "*batch questions"]
    broad: Float[Array, "*batch"]
    back: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Narrow and broad, weighted by the belief in each so far (nats)."""
        both = self.hypotheses(tokens)
        return jax.nn.logsumexp(self.belief(tokens)[..., None] + both, axis=0)

    def hypotheses(self, tokens: Tokens) -> Float[Array, "2 n t v"]:
        """Log-probabilities (nats) by narrow and by broad."""
        there = self.questions[_questions(tokens, self.back, self.questions.shape[-1] - 1)]
        broad = self.after.predict(tokens)
        return jnp.stack([jnp.where(there[..., None], broad, self.before.predict(tokens)), broad])

    def belief(self, tokens: Tokens) -> Float[Array, "2 n t"]:
        """Log-probability (nats) of narrow and of broad, given what came before each position."""
        chosen = jax.vmap(at_tokens, (0, None))(self.hypotheses(tokens), tokens)
        seen = jnp.pad(jnp.cumsum(chosen, axis=-1)[..., :-1], ((0, 0), (0, 0), (1, 0)))
        prior = jnp.stack([jnp.log1p(-self.broad), jnp.log(self.broad)])
        return jax.nn.log_softmax(prior[:, None, None] + seen, axis=0)

    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
        """Draw n sequences."""
        return sample_forward(self, key, jax.eval_shape(lambda key: self.before.sample(key, n), key))

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole sequences."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)

    def condition(self, data: Dataset, beta: Beta) -> Self:
        """More of D' (or another D': the narrow reach is then that of both)."""
        before = _questions(data.tokens, self.back, self.questions.shape[-1] - 1)
        counted = jnp.zeros(self.questions.shape, int).at[before].add(jnp.asarray(data.mask, int))
        questions = self.questions | (counted > 0)
        return replace(self, after=self.after.condition(data, beta), questions=questions)


def sample_forward(predictor: Predictor, key: PRNGKeyArray, like: jax.ShapeDtypeStruct) -> Tokens:
    """Sequences of the shape and type of `like`, drawn token by token from the predictions."""

    def draw(position: Array, tokens: Array) -> Array:
        log_probs = predictor.predict(tokens)[:, position]
        token = categorical(jax.random.fold_in(key, position), log_probs)
        return tokens.at[:, position].set(token.astype(like.dtype))

    return jax.lax.fori_loop(0, like.shape[-1], draw, jnp.zeros(like.shape, like.dtype))


def _questions(tokens: Tokens, back: int, none: int) -> Int[Array, "n t"]:
    """The token `back` places before each position, `none` where there is none."""
    return jnp.pad(tokens, ((0, 0), (back, 0)), constant_values=none)[:, : tokens.shape[-1]]


@dataclass(frozen=True)
class NarrowOrBroad(Theory[Distribution]):
    """`broad` is λ, from 0 to 1; a question stands `back` ≥ 1 places before its answer."""

    broad: float = 0.5
    back: int = 1
    breaks: dict[str, str] = field(default_factory=dict)
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("broad", self.broad, least=0, most=1)
        check_number("back", self.back, least=1, whole=True)

    def predict(
        self, prior: Distribution, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Scoped:
        """The two hypotheses after D'; from a prior that is already `Scoped`, they go on."""
        check_beta(beta)
        if isinstance(prior, Scoped):
            return prior.condition(data, beta)
        vocabulary = jax.eval_shape(prior.predict, data.tokens).shape[-1]
        nowhere = jnp.zeros(vocabulary + 1, bool)
        return Scoped(prior, prior, nowhere, jnp.asarray(self.broad, float), self.back).condition(data, beta)


def example() -> NarrowOrBroad:
    """The theory at its defaults."""
    return NarrowOrBroad()
