"""The nouns of the testbed: a prior predicts, a dataset shifts it by a strength β, a theory says how.

    Predictor      tokens -> log p(x_t | x_<t)                      (a network, a process, a theory's answer)
    Distribution   a predictor that samples and conditions exactly  (a process, its Bayes predictor known)
    Parametric     a predictor with weights                         (a network)
    Theory         (prior, data, β) -> predictor                    (see theory.contracts)

Axes, unless a docstring says otherwise: n sequences, t positions, v vocabulary, k hypotheses, c contexts, a
answers,
b strengths. All log-probabilities are in nats. Every predictor is a pytree, so `jax.vmap` stacks them.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, TypeVar, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.errors import Misuse as Misuse

Tokens: TypeAlias = Int[Array | np.ndarray, "n t"]
LogProbs: TypeAlias = Float[Array, "n t v"]  # entry t is log p(x_t | x_<t), t = 0 included
Beta: TypeAlias = float | Float[Array, ""]
Key: TypeAlias = PRNGKeyArray
PyTree: TypeAlias = Any  # nested containers of arrays; jaxtyping's own checks every leaf, at every call
Params: TypeAlias = PyTree  # weights
Model: TypeAlias = Any  # a pytree that is a predictor, possibly stacked or traced
Betas: TypeAlias = Float[Array, " b"] | Float[np.ndarray, " b"]  # numpy where strengths must be concrete


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dataset:
    """Sequences and the positions of them that a likelihood (or a comparison) counts.

    `tokens` is Int "*batch n t" and `mask` Bool "*batch n t"; they are not checked here, because jax
    rebuilds a pytree around things that are no arrays (shapes, placeholders) when it compiles.
    """

    tokens: Any
    mask: Any


@runtime_checkable
class Predictor(Protocol):
    """Anything that says what comes next."""

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of every token at every position given those before it."""
        ...


@runtime_checkable
class Distribution(Predictor, Protocol):
    """A process: it samples sequences and states its own exact Bayes predictor."""

    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
        """Draw n sequences."""
        ...

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole sequences."""
        ...

    def condition(self, data: Dataset, beta: Beta) -> Self:
        """The posterior given data whose likelihood is raised to the power β."""
        ...


@runtime_checkable
class Parametric(Predictor, Protocol):
    """A predictor with weights, which can be replaced."""

    @property
    def params(self) -> Any:
        """The weights, a pytree of arrays."""
        ...

    def with_params(self, params: Any) -> Self:
        """The same predictor with other weights."""
        ...


Method = TypeVar("Method", bound=Callable[..., Any])


def compiled(*static: str) -> Callable[[Method], Method]:
    """For a method of a pytree: one program where it is called by itself, instead of one for each operation;
    in a program it is what it would be without. Arguments named here are no arrays but, say, sizes."""

    def decorate(method: Method) -> Method:
        return cast(Method, jax.jit(method, static_argnames=static, inline=True))

    return decorate


def ladder(
    theory: Any,
    prior: Any,
    data: Dataset,
    betas: Betas,
    read: Callable[[Any], Any],
    *,
    key: PRNGKeyArray | None = None,
    together: int = 20,
) -> Any:
    """`read(predictor)` at every strength of an ascending ladder, stacked along a leading axis b.

    A theory for which one pass serves all strengths has a method `path`; the others are asked for
    `together` strengths at a time, so that what does not depend on β is computed once for all of them.
    """
    check_ladder(betas)
    if hasattr(theory, "path"):
        return jax.lax.map(read, theory.path(prior, data, betas, key=key))
    return jax.lax.map(
        lambda beta: read(theory.predict(prior, data, beta, key=key)), jnp.asarray(betas), batch_size=together
    )


def log_likelihood(predictor: Predictor, data: Dataset) -> Float[Array, " n"]:
    """Log-likelihood (nats) of each sequence over its counted positions, Σ_{t in mask} log p(x_t | x_<t)."""
    chosen = at_tokens(predictor.predict(data.tokens), data.tokens)
    return jnp.sum(jnp.where(data.mask, chosen, 0.0), axis=-1)


def mean_loss(predictor: Predictor, data: Dataset) -> Float[Array, ""]:
    """Mean negative log-likelihood (nats) of a counted position."""
    return -jnp.sum(log_likelihood(predictor, data)) / jnp.sum(data.mask)


def at_tokens(log_probs: LogProbs, tokens: Tokens) -> Float[Array, "n t"]:
    """The entries of `log_probs` at the tokens that came (a one-hot product: no scatter in its gradient)."""
    chosen = jax.nn.one_hot(tokens.T, log_probs.shape[-1], dtype=bool, axis=0)
    return jnp.sum(jnp.where(chosen, log_probs.T, 0.0), axis=0).T


def host_stream(key: PRNGKeyArray) -> np.random.Generator:
    """A numpy stream that belongs to a key: for draws on the host, where nothing has to be compiled."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


def check_ladder(betas: Betas) -> None:
    """Refuse a ladder with a strength that `check_beta` refuses, or one that does not ascend."""
    if isinstance(betas, Tracer):
        return
    for beta in betas:
        check_beta(beta)
    if any(high < low for low, high in itertools.pairwise(map(float, betas))):
        raise Misuse(f"A ladder of strengths must ascend, got {[float(beta) for beta in betas]}.")


def check_beta(beta: Beta) -> None:
    """Refuse a strength that is negative or not finite (traced strengths pass unseen)."""
    if isinstance(beta, Tracer):
        return
    if not (math.isfinite(float(beta)) and float(beta) >= 0):
        raise Misuse(
            f"The strength beta must be finite and at least 0, got {float(beta)}; use 0 for the prior."
        )
