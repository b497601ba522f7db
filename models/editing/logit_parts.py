"""A network's logit as a sum over what wrote it: the embedding, every block's heads, and its perceptron.

    u · W x/|x| = Σ_p u · W x_p/|x|    x = Σ_p x_p the last stream, |x| its root mean square, W the read-out

u is a direction among tokens, a token less the mean of others, say. The sum is exact: what a block writes
counts as it is read out, and not by what later blocks make of it.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from models.inside import heads
from models.network import Network
from theory.probes.subspaces import EPSILON


@jax.jit
def logit_parts(
    network: Network, streams: Float[Array, "n l t d"], direction: Float[Array, " v"]
) -> tuple[Float[Array, "n t"], Float[Array, "b 2 n t"]]:
    """Parts of a direction's logit: that of the embedding, and by block those of its heads and of its
    perceptron; of recorded streams."""
    transformer = nnx.merge(network.definition, network.params)
    reads = direction @ transformer.unembed.matrix / transformer.output_scale
    last = streams[:, -1]
    size = jnp.sqrt(jnp.mean(jnp.square(last), axis=-1) + EPSILON)
    of_depths = streams @ reads / size[:, None]  # (n, l, t)
    of_heads = jnp.sum(heads(network, streams).writes, axis=1) @ reads / size  # (b, n, t)
    steps = jnp.diff(of_depths, axis=1).swapaxes(0, 1)
    return of_depths[:, 0], jnp.stack([of_heads, steps - of_heads], axis=1)
