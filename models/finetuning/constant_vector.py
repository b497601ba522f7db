"""Constant-vector finetuning: one vector is added to the stream where it begins, every weight stays at w0.

    position_t ← position_t + v    for every position t: the same v at all positions, in all documents

A constant vector is what steering adds. D' can move all contexts alike and nothing else, so where the stream
holds a belief as log-odds, finetuning is a change of the prior alone (Bigelow et al., arXiv 2511.00617). Many
low-rank finetunings are found to be nearly that (arXiv 2507.08218). The network has no weights more.
"""

from dataclasses import dataclass, field

import jax.numpy as jnp
from flax import nnx

from models.finetuning.adam import Adam
from models.finetuning.method import ExtraData, Method, Wrapper
from models.reparametrised import Reparametrised
from theory.base import Misuse, Parametric, Params

TABLE = ("position",)  # its rows are added where the stream begins


@dataclass(frozen=True)
class ConstantVector(Wrapper):
    """The rows of the position embedding move together, by one vector; the rule sees that vector."""

    rule: Method = field(default_factory=lambda: Adam(0.01))

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The vector (d,), 0 at the start; refuses a network without a position embedding."""
        self.check_rule(network, extra)
        table = dict(nnx.to_flat_state(network.params)).get(TABLE)
        if table is None:
            raise Misuse(f"ConstantVector needs a network with a position embedding, got {network!r:.60}.")
        return Reparametrised(network, jnp.zeros(table.shape[-1]), _moved)


def _moved(frozen: Params, vector: Params) -> Params:
    """Full weights: every row of the position embedding moved by the vector."""
    table = dict(nnx.to_flat_state(frozen))[TABLE]
    return nnx.merge_state(frozen, nnx.from_flat_state({TABLE: table.replace(table[...] + vector)}))


def example() -> ConstantVector:
    """The method at its defaults."""
    return ConstantVector()
