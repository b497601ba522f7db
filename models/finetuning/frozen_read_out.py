"""Frozen-read-out finetuning: every weight moves but the unembedding matrix.

What the network makes of its last stream then stays as it was: finetuning moves the state, not what a state
answers, as every Bayesian account has it. It is the complement of head-only finetuning.
"""

from dataclasses import dataclass, field

from flax import nnx

from models.finetuning.method import ExtraData, Method, Wrapper, check_layers
from models.finetuning.sgd import Sgd
from models.reparametrised import Reparametrised
from theory.base import Misuse, Parametric


@dataclass(frozen=True)
class FrozenReadOut(Wrapper):
    """The weights of the layers named in `frozen` stay; the rule sees all others."""

    frozen: tuple[str, ...] = ("unembed",)
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_layers(self.frozen)

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The other layers' weights; refuses a layer that the network does not have, and all of them."""
        self.check_rule(network, extra)
        state = dict(nnx.to_flat_state(network.params))
        absent = [name for name in self.frozen if not any(name in path for path in state)]
        moving = {path: leaf for path, leaf in state.items() if not set(path) & set(self.frozen)}
        if absent or not moving:
            raise Misuse(f"frozen must be some layers of the network, not all of them, got {self.frozen}.")
        return Reparametrised(network, nnx.from_flat_state(moving), nnx.merge_state)


def example() -> FrozenReadOut:
    """The method at its defaults."""
    return FrozenReadOut()
