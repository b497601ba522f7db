"""Continuations of prompts, sampled token by token from any predictor.

    x_t ~ p(· | x_<t) for t = begin, ..., the prompt before `begin` kept

What a predictor says next is not all that it does: rates of behaviour are also measured on what it writes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from theory.base import Misuse, Predictor, Tokens
from theory.compute.random import categorical


def continuations(
    predictor: Predictor, key: PRNGKeyArray, prompts: Tokens, begin: int, copies: int = 1
) -> Int[Array, "m t"]:
    """`copies` of every prompt (n, t), rewritten from position `begin` to their end: (copies × n, t).

    Copies of one prompt are n rows apart. What prompts hold from `begin` on is not read.
    """
    length = prompts.shape[1]
    if not 0 <= begin < length or copies < 1:
        raise Misuse(
            f"begin must be from 0 to {length - 1}, the prompts' last position, and copies at least 1, got "
            f"{begin} and {copies}."
        )

    def write(tokens: Array, turn: tuple[Array, PRNGKeyArray]) -> tuple[Array, None]:
        position, key = turn
        told = jax.lax.dynamic_index_in_dim(predictor.predict(tokens), position, axis=1, keepdims=False)
        drawn = categorical(key, told).astype(tokens.dtype)
        return jnp.where(jnp.arange(length) == position, drawn[:, None], tokens), None

    turns = jnp.arange(begin, length), jax.random.split(key, length - begin)
    started = jnp.where(jnp.arange(length) < begin, jnp.tile(jnp.asarray(prompts), (copies, 1)), 0)
    return jax.lax.scan(write, started, turns)[0]
