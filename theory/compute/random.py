"""What is drawn so often that it must be fast: categories, and a Langevin step's normal numbers and rows.

Normal numbers and rows are bit for bit jax's and NumPyro's. On CPUs jax keeps the rounds of its generator
(Threefry-2x32, 20 rounds; Salmon et al. 2011) in a loop, which takes every number to memory and back five
times, and NumPyro draws one row after the other. Written out, the compiler makes one pass of it, and the rows
are drawn at once: the same numbers in half the time and a tenth. Documents are made of categories: one number
each, where jax takes as many as there are to choose from.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped, UInt32

Key = PRNGKeyArray | UInt32[Array, " words"]
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def normal(key: Key, like: Shaped[Array, " p"]) -> Float[Array, " p"]:
    """Standard normal numbers, as many as `like` has and of its type: `jax.random.normal`'s."""
    words = jax.random.key_data(key)
    if not _written_out(words, like):
        return jax.random.normal(key, like.shape, like.dtype)
    return _normal(words, jax.lax.iota(jnp.uint32, like.size))


def normals(key: Key, tree: Any) -> Float[Array, " p"]:
    """Standard normal numbers for a tree, in one vector as `ravel_pytree` makes it: `jax.random.normal`'s of
    each leaf with its part of the key. All in one pass, as every call of the generator is compiled anew."""
    leaves = jax.tree.leaves(tree)
    keys = jax.random.split(key, len(leaves))
    words = jax.random.key_data(keys)
    if not all(_written_out(own, leaf) for own, leaf in zip(words, leaves, strict=True)):
        drawn = [jax.random.normal(one, leaf.shape) for one, leaf in zip(keys, leaves, strict=True)]
        return jnp.concatenate([leaf.ravel() for leaf in drawn])
    own = [jnp.broadcast_to(word[:, None], (2, leaf.size)) for word, leaf in zip(words, leaves, strict=True)]
    count = [jax.lax.iota(jnp.uint32, leaf.size) for leaf in leaves]
    return _normal(jnp.concatenate(own, axis=1), jnp.concatenate(count))


def _written_out(words: Array, like: Array) -> bool:
    """Whether a key is Threefry's, and its numbers sooner drawn by this file than by jax."""
    return jax.default_backend() == "cpu" and like.dtype == jnp.float32 and words.shape == (2,)


def _normal(words: UInt32[Array, "2 ..."], count: UInt32[Array, " p"]) -> Float[Array, " p"]:
    """The numbers that stand at these counts, of one key (2,) or of one each (2, p)."""

    def bits(_: Any, __: Any) -> UInt32[Array, " p"]:
        left, right = threefry(words, jnp.zeros_like(count), count)
        return left ^ right

    # a loop of one turn, which the compiler cannot see: what it gives is not computed again for each use
    one = jax.lax.optimization_barrier(1)
    both = jax.lax.fori_loop(0, one, bits, jnp.zeros_like(count))
    # 23 random bits are the mantissa of a float in [1, 2), which is brought to (-1, 1)
    drawn = jax.lax.bitcast_convert_type((both >> 9) | np.uint32(0x3F800000), jnp.float32) - 1
    least = np.nextafter(np.float32(-1), np.float32(0))
    uniform = jnp.maximum(least, drawn * (1 - least) + least)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform)


def categorical(
    key: Key, log_weights: Float[Array, "*batch k"], shape: tuple[int, ...] | None = None
) -> Int[Array, "..."]:
    """Categories 0 ... k-1 with probabilities ∝ exp(log_weights), called as `jax.random.categorical` is.

    One uniform number each is looked up in the cumulated weights, instead of k of Gumbel's compared.
    `shape`, that of the draws, must broadcast with the batch. Exact to 2⁻²³; what has no weight never comes.
    """
    most = jnp.max(log_weights, axis=-1, keepdims=True)
    below = jnp.cumsum(jnp.exp(log_weights - most), axis=-1)
    shape = log_weights.shape[:-1] if shape is None else shape
    return invert_cdf(1 - jax.random.uniform(key, (*shape, 1), below.dtype), below)


def sample_on_host(random: np.random.Generator, weights: Float[np.ndarray, "*batch k"]) -> Any:
    """Categories (*batch) with probabilities ∝ `weights`, drawn by numpy: nothing has to be compiled. Its
    shares are in [0, 1): once in 2⁵³ draws the first category comes whatever its weight."""
    return invert_cdf(random.random((*weights.shape[:-1], 1)), np.cumsum(weights, axis=-1))


def invert_cdf(chance: Any, below: Any) -> Any:
    """The interval of cumulated weights `below` (..., k) that a share (..., 1) of their total, in (0, 1],
    falls into: one without weight never. numpy's arrays or jax's."""
    return (chance * below[..., -1:] > below[..., :-1]).sum(axis=-1)


def threefry(
    key: UInt32[Array, "2 ..."], left: UInt32[Array, " n"], right: UInt32[Array, " n"]
) -> tuple[UInt32[Array, " n"], UInt32[Array, " n"]]:
    """Threefry-2x32 of the blocks (left, right): 20 rounds, a word of the key added after every fourth. One
    key (2,) for all, or one for each (2, n)."""
    words = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    left, right = left + words[0], right + words[1]
    for group in range(5):
        for turn in ROTATIONS[group % 2]:
            left = left + right
            right = left ^ ((right << turn) | (right >> (32 - turn)))
        left = left + words[(group + 1) % 3]
        right = right + words[(group + 2) % 3] + np.uint32(group + 1)
    return left, right


def rows(size: int, count: int, rng_key: Key) -> Int[Array, " count"]:
    """`count` different rows of `size`, all sets as likely: those that NumPyro's `plate` draws on a CPU (the
    first steps of Fisher and Yates' shuffle), which finds the places to swap with one by one."""
    last = size - 1 - jnp.arange(count)
    places = jax.vmap(lambda key, end: jax.random.randint(key, (), 0, end + 1))(
        jax.random.split(rng_key, count), last
    )

    def swap(deck: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        end, place = pair
        return deck.at[end].set(deck[place]).at[place].set(deck[end]), None

    deck, _ = jax.lax.scan(swap, jnp.arange(size), (last, places))
    return deck[size - count :]
