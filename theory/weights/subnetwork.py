"""Subnetworks: some weights of a network as a predictor in which all other weights are fixed.

`subnetwork(network, ["unembed"])` is the last layer of `models.transformer`. Every theory over weights acts
on a subnetwork as on a network: last-layer Laplace is Laplace of the last layer. Vectors then have its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import jax
from jaxtyping import Array

from theory.base import LogProbs, Misuse, Model, Parametric, Params, Tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Subnetwork:
    """`params` are the weights of `whole`, by name, and `indices` their names and leaf numbers in it."""

    params: Params
    whole: Model
    indices: tuple[tuple[str, int], ...] = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the whole network."""
        return self.network().predict(tokens)

    def with_params(self, params: Params) -> Self:
        """The subnetwork with its weights replaced by `params`; the others stay."""
        return replace(self, params=params)

    def network(self) -> Model:
        """The whole network, with the weights of this subnetwork in it."""
        leaves, structure = jax.tree.flatten(self.whole.params)
        for name, index in self.indices:
            leaves[index] = self.params[name]
        return self.whole.with_params(jax.tree.unflatten(structure, leaves))


def subnetwork(network: Parametric, names: Sequence[str]) -> Subnetwork:
    """The weights whose path, as in "blocks.0.up_proj.kernel", begins with one of `names`, up to a dot."""
    leaves = jax.tree_util.tree_leaves_with_path(network.params)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    unknown = [name for name in names if not any(_begins(path, name) for path in paths)]
    if unknown or not names:
        raise Misuse(f"A subnetwork is named by beginnings of {paths}, got {unknown or 'no name'}.")
    params: dict[str, Array] = {}
    indices = []
    for index, (path, (_, leaf)) in enumerate(zip(paths, leaves, strict=True)):
        if any(_begins(path, name) for name in names):
            params[path] = leaf
            indices.append((path, index))
    return Subnetwork(params, network, tuple(indices))


def _begins(path: str, name: str) -> bool:
    return path == name or path.startswith(name + ".")
