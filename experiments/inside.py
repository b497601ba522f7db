"""The inside of the networks that a notebook has: their streams, and networks with an edited stream."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.design.arguments import check_documents
from experiments.runs.environment import fixed_settings
from models import inside
from models.inside import Edited
from models.network import Network
from theory.base import Tokens
from theory.contracts import Process
from theory.errors import Misuse


class Inside:
    """An object with networks of a process that can be looked into; `network(**which)` is one of them."""

    @property
    def process(self) -> Process:
        """The process."""
        raise NotImplementedError

    def network(self, **which: Any) -> Network:
        """One of the networks."""
        raise NotImplementedError

    @fixed_settings()
    def streams(self, tokens: Tokens | Sequence[Sequence[int]], **which: Any) -> np.ndarray:
        """The residual stream (n, l, t, d) of documents in one network, at depth l: the embedding, then after
        each block. Position t has read the tokens before token t."""
        return np.asarray(inside.streams(self.network(**which), documents(self.process, tokens)))

    @fixed_settings()
    def edited(
        self,
        depth: int,
        shift: Array | np.ndarray,
        matrix: Array | np.ndarray | None = None,
        **which: Any,
    ) -> Edited:
        """One network, with its stream x at a depth replaced by `matrix` x + `shift`; `shift` is (d,), (t, d)
        or (n, t, d), `matrix` (d, d), None for x itself."""
        return inside.edited(self.network(**which), depth, shift, matrix)


def documents(process: Process, tokens: Tokens | Sequence[Sequence[int]]) -> Array:
    """Documents (n, t) that networks of a process can read; refuses others."""
    try:
        rows = np.asarray(tokens)
    except ValueError:
        raise Misuse("tokens must be documents (n, t) of one length, got rows of several.") from None
    check_documents(process, rows)
    return jnp.asarray(rows, np.int32)
