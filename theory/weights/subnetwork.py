"""A part of a network as a predictor of its own: its weights move, all others stay where they are.

`part(network, ["unembed"])` is the last layer of `models.transformer`. Every theory over weights acts on a
part as on a whole network: last-layer Laplace is Laplace of the last layer. Vectors then have the part's
size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
from jaxtyping import Array

from theory.base import LogProbs, Misuse, Parametric, Tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Part:
    """`params` are the weights of `whole` at `places` of its leaves, by name; see `part`."""

    params: dict[str, Any]
    whole: Any
    places: tuple[tuple[str, int], ...] = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the whole network."""
        return self.network().predict(tokens)

    def with_params(self, params: Any) -> Self:
        """The same network with other weights in this part."""
        return replace(self, params=params)

    def network(self) -> Any:
        """The whole network, with this part's weights in it."""
        leaves, structure = jax.tree.flatten(self.whole.params)
        for name, place in self.places:
            leaves[place] = self.params[name]
        return self.whole.with_params(jax.tree.unflatten(structure, leaves))


def part(network: Parametric, names: Sequence[str]) -> Part:
    """The weights whose path, as in "blocks.0.up_proj.kernel", begins with one of `names`, up to a dot."""
    leaves = jax.tree_util.tree_leaves_with_path(network.params)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    lost = [name for name in names if not any(_begins(path, name) for path in paths)]
    if lost or not names:
        raise Misuse(f"A part is named by beginnings of {paths}, got {lost or 'no name'}.")
    params: dict[str, Array] = {}
    places = []
    for place, (path, (_, leaf)) in enumerate(zip(paths, leaves, strict=True)):
        if any(_begins(path, name) for name in names):
            params[path] = leaf
            places.append((path, place))
    return Part(params, network, tuple(places))


def _begins(path: str, name: str) -> bool:
    return path == name or path.startswith(name + ".")
