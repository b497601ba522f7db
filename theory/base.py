"""Core types: tokens, datasets, predictors, and the strength β with which data act on a prior.

    Predictor     tokens -> log p(x_t | x_<t)                      (a network, a process, a theory's forecast)
    Distribution  a predictor that samples and conditions exactly  (a process, its Bayes predictor known)
    Parametric    a predictor with weights                         (a network)
    Steerable     a predictor with a stream to read and shift      (a network, opened)
    Theory        (prior, data, β) -> predictor                    (see theory.contracts)
    Cost          a theory's work on the network

Axes, unless a docstring states others: n sequences, t positions, v vocabulary, k hypotheses, c contexts,
a answers, b strengths. All log-probabilities are in nats. Every predictor is a pytree, so `jax.vmap` stacks
them.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias, TypeVar, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory._pytrees import tell_classes_apart
from theory.errors import Misuse as Misuse

tell_classes_apart()  # before a class is registered

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
    """Sequences, and a mask of the positions that a likelihood (or a comparison) counts.

    `tokens` is Int "*batch n t" and `mask` Bool "*batch n t". Only arrays are checked, because jax rebuilds a
    pytree around placeholders that are none (shapes, for example) when it compiles. Raises `Misuse` for
    lists, for shapes that differ and for tokens that are no integers.
    """

    tokens: Any
    mask: Any

    def __post_init__(self) -> None:
        pair = self.tokens, self.mask
        for part in pair:
            if isinstance(part, list | str):
                raise Misuse(f"A Dataset has arrays, got a {type(part).__name__}; write numpy.array(...).")
        if all(isinstance(part, Array | np.ndarray) and not isinstance(part, Tracer) for part in pair):
            if self.tokens.shape != self.mask.shape:
                raise Misuse(
                    "The tokens and the mask of a Dataset must have one shape (n, t), got "
                    f"{self.tokens.shape} and {self.mask.shape}."
                )
            if self.tokens.dtype.kind == "f" or self.mask.dtype.kind == "f":
                raise Misuse(
                    "The tokens of a Dataset must be integers and its mask truth values, got "
                    f"{self.tokens.dtype} and {self.mask.dtype}."
                )


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts the next token."""

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of every token at every position given those before it."""
        ...


@runtime_checkable
class Distribution(Predictor, Protocol):
    """A process: it samples sequences and has an exact Bayes predictor."""

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
    def params(self) -> Params:
        """The weights, a pytree of arrays."""
        ...

    def with_params(self, params: Params) -> Self:
        """The predictor with its weights replaced by `params`."""
        ...


@runtime_checkable
class Steerable(Predictor, Protocol):
    """A predictor with a stream that can be read and shifted (of a network: `models.inside.steerable`)."""

    def streams(self, tokens: Tokens) -> Float[Array, "n l t d"]:
        """The stream at every depth l; that of position t has read the tokens before token t."""
        ...

    def shifted(self, depth: int, vector: Float[Array, " d"]) -> Self:
        """The predictor with a vector added to its stream at one depth, at every position."""
        ...


Method = TypeVar("Method", bound=Callable[..., object])


def compiled(*static: str) -> Callable[[Method], Method]:
    """Compile a method of a pytree into one program where it is called outside of `jit`, instead of one for
    each operation; inside a program it changes nothing. The arguments named here are static (sizes, say)."""

    def decorate(method: Method) -> Method:
        program = jax.jit(method, static_argnames=static, inline=True)

        @functools.wraps(method)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            for value in (*arguments, *named.values()):
                if isinstance(value, str | list):
                    name, kind = f"{type(self).__name__}.{method.__name__}", type(value).__name__
                    raise Misuse(f"{name} needs arrays, got a {kind}, {value!r:.40}; write numpy.array(...).")
            return program(self, *arguments, **named)

        return cast(Method, call)

    return decorate


def ladder(
    theory: Any,
    prior: Model,
    data: Dataset,
    betas: Betas,
    read: Callable[[Model], PyTree],
    *,
    key: PRNGKeyArray | None = None,
    together: int = 20,
) -> PyTree:
    """`read(predictor)` at every strength of an ascending ladder, stacked along a leading axis b.

    A theory for which one pass serves all strengths has a method `path`. Of any other, `together` strengths
    are computed in a batch, so that what does not depend on β is computed once for all of them.
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
    """The entries of `log_probs` at the observed tokens."""
    # A one-hot product, not an index: the gradient of an index is a scatter, which is slow.
    chosen = jax.nn.one_hot(tokens.T, log_probs.shape[-1], dtype=bool, axis=0)
    return jnp.sum(jnp.where(chosen, log_probs.T, 0.0), axis=0).T


def host_stream(key: PRNGKeyArray) -> np.random.Generator:
    """The numpy random stream of a key: for sampling on the host, where nothing has to be compiled."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())


def check_ladder(betas: Betas) -> None:
    """Refuse a ladder with a strength that `check_beta` refuses, or one that does not ascend."""
    if isinstance(betas, Tracer):
        return
    for beta in betas:
        check_beta(beta)
    if any(high < low for low, high in itertools.pairwise(map(float, betas))):
        raise Misuse(f"A ladder of strengths must ascend, got {[float(beta) for beta in betas]}.")


def check_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    whole: bool = False,
) -> None:
    """Refuse what is no finite number (`whole`: no integer) within the limits given; truth values, strings
    and arrays are none. A traced number has no value to check."""
    if isinstance(value, Tracer):
        return
    number: Any = (
        value.item() if isinstance(value, Array | np.ndarray | np.generic) and value.ndim == 0 else value
    )
    fits = isinstance(number, int if whole else int | float) and not isinstance(number, bool)
    if fits and math.isfinite(number):
        inside = (
            above is None or number > above,
            least is None or number >= least,
            below is None or number < below,
            most is None or number <= most,
        )
        if all(inside):
            return
    low = f"above {above:g}" if above is not None else "" if least is None else f"at least {least:g}"
    high = f"below {below:g}" if below is not None else "" if most is None else f"at most {most:g}"
    kind = "finite" if not (whole or high) else "" if fits else "a whole number" if whole else "a number"
    raise Misuse(f"{name} must be {' and '.join(filter(None, (kind, low, high)))}, got {value!r}.")


def check_beta(beta: object) -> None:
    """Refuse a strength that is negative or not finite (a traced strength has no value to check)."""
    if isinstance(beta, Tracer):
        return
    number: object = beta
    if not isinstance(beta, str | bool):
        with contextlib.suppress(TypeError, ValueError):
            number = float(cast(Any, beta))
    if not (isinstance(number, float) and math.isfinite(number) and number >= 0):
        raise Misuse(
            f"The strength beta must be finite and at least 0, got {number!r:.60}; use 0 for the prior."
        )


Unit: TypeAlias = Literal["data", "dose", "strength", "step", "chain"]
UNITS: dict[Unit, str] = {
    "data": "",
    "dose": " a dose",
    "strength": " a strength",
    "step": " a step of the finetuning",
    "chain": " a step of every chain",
}


@dataclass(frozen=True)
class Cost:
    """Work on the network that predictions need, beside its answers in the contexts.

    `gradients` of the loss and `products` of a curvature with a vector are over all of D' (over a batch where
    they are counted by steps), `other_gradients` over other documents, for a metric; `passes` are forward
    passes of the contexts. They are counted once for one D' ("data": doses and strengths share them), or
    `per` dose, strength of the grid, step of a finetuning that is followed, or step of a chain; `most` says
    that a solver may stop before.
    """

    gradients: int = 0
    products: int = 0
    other_gradients: int = 0
    passes: int = 0
    per: Unit = "data"
    most: bool = False

    @property
    def replays(self) -> bool:
        """Whether the steps of a finetuning are followed."""
        return self.per == "step"

    def __str__(self) -> str:
        counts = {
            "gradient": self.gradients,
            "product": self.products,
            "gradient for the metric": self.other_gradients,
            "pass of the contexts": self.passes,
        }
        parts = [f"{count} {_plural(name, count)}" for name, count in counts.items() if count]
        return "at most " * self.most + ", ".join(parts) + UNITS[self.per] if parts else "none"


def _plural(name: str, count: int) -> str:
    first, *others = name.split(" ", 1)
    ending = "es" if first.endswith("s") else "s"
    return " ".join([first + ending * (count > 1), *others])
