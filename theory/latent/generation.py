"""Generation: continuations of prompts, sampled token by token from any predictor.

    x_t ~ p(· | x_<t) for t = begin, ..., the prompt before `begin` kept

Next-token probabilities are not all that a predictor does: rates of behaviour are also measured on what it
generates.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from theory.base import Key, Misuse, Predictor, Tokens
from theory.compute.random import categorical


def continuations(
    predictor: Predictor, key: Key, prompts: Tokens, begin: int, copies: int = 1
) -> Int[Array, "m t"]:
    """Sample `copies` of every prompt (n, t) anew from position `begin` to their end: (copies × n, t).

    Copies of one prompt are n rows apart. What prompts hold from `begin` on is not read.
    """
    length = prompts.shape[1]
    if not 0 <= begin < length or copies < 1:
        raise Misuse(
            f"begin must be from 0 to {length - 1}, the prompts' last position, and copies at least 1, got "
            f"{begin} and {copies}."
        )

    def write(tokens: Array, turn: tuple[Array, Key]) -> tuple[Array, None]:
        position, key = turn
        log_probs = jax.lax.dynamic_index_in_dim(predictor.predict(tokens), position, axis=1, keepdims=False)
        drawn = categorical(key, log_probs).astype(tokens.dtype)
        return jnp.where(jnp.arange(length) == position, drawn[:, None], tokens), None

    # Positions from `begin` on are zeroed, so that nothing depends on what the prompts held there.
    turns = jnp.arange(begin, length), jax.random.split(key, length - begin)
    started = jnp.where(jnp.arange(length) < begin, jnp.tile(jnp.asarray(prompts), (copies, 1)), 0)
    return jax.lax.scan(write, started, turns)[0]
