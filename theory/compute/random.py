"""Fast random numbers: categories, and the normal numbers and minibatch rows of a Langevin step.

Normal numbers and rows are bit for bit jax's and NumPyro's. On CPUs jax keeps the rounds of its generator
(Threefry-2x32, 20 rounds; Salmon et al. 2011) in a loop, which takes every number to memory and back five
times, and NumPyro draws one row after the other. Here the rounds are unrolled, so that the compiler makes one
pass of them, and all rows are drawn at once: equal numbers in half the time and a tenth. Documents consist of
categories: each takes one uniform number, where jax draws as many as there are categories.
"""

from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped, UInt32

from theory.base import PyTree

Key: TypeAlias = PRNGKeyArray | UInt32[Array, " words"]
Words: TypeAlias = UInt32[Array, "2 ..."]  # a key's two numbers, or those of a key for each number
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
Numbers = TypeVar("Numbers", Array, np.ndarray)


def normal(key: Key, like: Shaped[Array, " p"]) -> Float[Array, " p"]:
    """Standard normal numbers, as many as `like` has and of its type: `jax.random.normal`'s."""
    words = jax.random.key_data(key)
    if not _use_unrolled(words, like):
        return jax.random.normal(key, like.shape, like.dtype)
    return _normal(words, jax.lax.iota(jnp.uint32, like.size))


def normals(key: Key, tree: PyTree) -> Float[Array, " p"]:
    """Standard normal numbers for a tree, in one vector as `ravel_pytree` makes it: `jax.random.normal`'s of
    each leaf with its part of the key."""
    leaves = jax.tree.leaves(tree)
    keys = jax.random.split(key, len(leaves))
    words = jax.random.key_data(keys)
    if not all(_use_unrolled(word, leaf) for word, leaf in zip(words, leaves, strict=True)):
        samples = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        return jnp.concatenate([leaf.ravel() for leaf in samples])
    # One call for all leaves, a key for each number: every call of the generator would be compiled anew.
    spread = [
        jnp.broadcast_to(word[:, None], (2, leaf.size)) for word, leaf in zip(words, leaves, strict=True)
    ]
    count = [jax.lax.iota(jnp.uint32, leaf.size) for leaf in leaves]
    return _normal(jnp.concatenate(spread, axis=1), jnp.concatenate(count))


def _use_unrolled(words: Array, like: Array) -> bool:
    """Whether a key is Threefry's, and its numbers are drawn faster by this file than by jax."""
    return jax.default_backend() == "cpu" and like.dtype == jnp.float32 and words.shape == (2,)


def _normal(words: Words, count: UInt32[Array, " p"]) -> Float[Array, " p"]:
    """The normal numbers at these counts of the generator, of one key (2,) or of a key for each (2, p)."""

    def bits(_: Int[Array, ""], __: UInt32[Array, " p"]) -> UInt32[Array, " p"]:
        left, right = threefry(words, jnp.zeros_like(count), count)
        return left ^ right

    # A loop of one turn whose length the barrier hides from the compiler: otherwise it would fuse the
    # generator into every use of the numbers, and compute them once for each.
    turns = jax.lax.optimization_barrier(1)
    random_bits = jax.lax.fori_loop(0, turns, bits, jnp.zeros_like(count))
    # 23 random bits are the mantissa of a float in [1, 2), which is mapped to (-1, 1).
    fraction = jax.lax.bitcast_convert_type((random_bits >> 9) | np.uint32(0x3F800000), jnp.float32) - 1
    least = np.nextafter(np.float32(-1), np.float32(0))  # not -1, whose erf_inv is -∞
    uniform = jnp.maximum(least, fraction * (1 - least) + least)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform)


def categorical(
    key: Key, log_weights: Float[Array, "*batch k"], shape: tuple[int, ...] | None = None
) -> Int[Array, "..."]:
    """Categories 0 ... k-1 with probabilities ∝ exp(log_weights), called like `jax.random.categorical`.

    Each is a uniform number looked up in the cumulated weights, instead of a comparison of k Gumbel numbers.
    `shape`, that of the samples, must broadcast with the batch. Exact to 2⁻²³; a category without weight is
    never drawn.
    """
    largest = jnp.max(log_weights, axis=-1, keepdims=True)
    cumulated = jnp.cumsum(jnp.exp(log_weights - largest), axis=-1)
    shape = log_weights.shape[:-1] if shape is None else shape
    # 1 - u, as u is in [0, 1): a share of 0 would fall on the first category even if it has no weight.
    return invert_cdf(1 - jax.random.uniform(key, (*shape, 1), cumulated.dtype), cumulated)


def sample_on_host(
    random: np.random.Generator, weights: Float[np.ndarray, "*batch k"]
) -> Int[np.ndarray, "*batch"]:
    """Categories (*batch) with probabilities ∝ `weights`, drawn by numpy: nothing has to be compiled. Its
    shares are in [0, 1): once in 2⁵³ samples the first category is drawn whatever its weight."""
    return invert_cdf(random.random((*weights.shape[:-1], 1)), np.cumsum(weights, axis=-1))


def invert_cdf(share: Numbers, cumulated: Numbers) -> Numbers:
    """The interval of cumulated weights (..., k) that a share (..., 1) of their total, in (0, 1], falls
    into; never one without weight. Of numpy or jax arrays."""
    return (share * cumulated[..., -1:] > cumulated[..., :-1]).sum(axis=-1)  # type: ignore[return-value]


def threefry(
    key: Words, left: UInt32[Array, " n"], right: UInt32[Array, " n"]
) -> tuple[UInt32[Array, " n"], UInt32[Array, " n"]]:
    """Threefry-2x32 of the blocks (left, right): 20 rounds, a word of the key added after every fourth. A
    key (2,) for all, or a key for each (2, n)."""
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
    """`count` different rows of `size`, all sets equally likely: those that NumPyro's `plate` draws on a CPU,
    by the first steps of the Fisher-Yates shuffle."""
    last = size - 1 - jnp.arange(count)
    # All indices in one vmap before the loop, where NumPyro calls the generator in every step of it.
    partners = jax.vmap(lambda key, end: jax.random.randint(key, (), 0, end + 1))(
        jax.random.split(rng_key, count), last
    )

    def swap(deck: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        end, partner = pair
        return deck.at[end].set(deck[partner]).at[partner].set(deck[end]), None

    deck, _ = jax.lax.scan(swap, jnp.arange(size), (last, partners))
    return deck[size - count :]
