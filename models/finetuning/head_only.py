"""Head-only finetuning: the unembedding matrix moves, every other weight stays at w0.

Log-probabilities are then a softmax of logits linear in the numbers that move, so the linearised network *is*
the network, and the loss is convex.
"""

from dataclasses import dataclass, field

from flax import nnx

from models.finetuning.method import ExtraData, Method, Wrapper, check_layers
from models.finetuning.sgd import Sgd
from models.reparametrised import Reparametrised
from theory.base import Misuse, Parametric, Params


@dataclass(frozen=True)
class HeadOnly(Wrapper):
    """The weights of the layers named in `layers` move; the rule does not see the others."""

    layers: tuple[str, ...] = ("unembed",)
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The named layers' weights; refuses a layer that the network does not have."""
        self.check_rule(network, extra)
        moving = [nnx.filter_state(network.params, nnx.PathContains(name)) for name in self.layers]
        if not moving or not all(moving):
            raise Misuse(f"layers must be layers of the network, got {self.layers}.")
        return Reparametrised(network, nnx.merge_state(*moving), _merge)


def _merge(frozen: Params, moving: Params) -> Params:
    return nnx.merge_state(frozen, moving)


def example() -> HeadOnly:
    """The method at its defaults."""
    return HeadOnly()
