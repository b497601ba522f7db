"""Finetuning: from a base network and D' to the networks after every dose, in one run."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import optax
from jaxtyping import Array, Float, Int

from models.network import Network
from theory.base import Dataset, mean_loss
from theory.descent import descend


@runtime_checkable
class Method(Protocol):
    """A way of finetuning; one file each in models/finetuning."""

    @property
    def learning_rate(self) -> float:
        """The step size η."""
        ...

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        ...


def finetune(
    network: Network,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    doses: Sequence[int],
) -> tuple[Any, Float[Array, " steps"]]:
    """Weights after each dose (stacked) and each step's loss, the mean nats of a counted position."""

    def loss(params: Any, batch: Dataset) -> Float[Array, ""]:
        return mean_loss(network.with_params(params), batch)

    return descend(loss, method.optimizer(), network.params, data, batches, doses)
