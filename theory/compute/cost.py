"""Cost of a theory's predictions for one D', in work on the network; no theory measures its own seconds."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["data", "dose", "strength", "step", "chain"]
UNITS: dict[Unit, str] = {
    "data": "",
    "dose": " a dose",
    "strength": " a strength",
    "step": " a step of the finetuning",
    "chain": " a step of every chain",
}


@dataclass(frozen=True)
class Cost:
    """What predictions need of the network beside its answers in the contexts.

    `gradients` of the loss and `products` of a curvature with a vector are over all of D' (over a batch where
    they are counted by steps), `other_gradients` over other documents, for a metric; `passes` are forward
    passes of the contexts. They are counted once for one D' ("data": doses and strengths share them), or
    `per` dose, strength of the grid, step of a finetuning that is followed, or step of a chain; `most` says
    that a solver may stop before.
    """

    gradients: int = 0
    products: int = 0
    other_gradients: int = 0
    passes: int = 0
    per: Unit = "data"
    most: bool = False

    @property
    def replays(self) -> bool:
        """Whether the steps of a finetuning are followed."""
        return self.per == "step"

    def __str__(self) -> str:
        counts = {
            "gradient": self.gradients,
            "product": self.products,
            "gradient for the metric": self.other_gradients,
            "pass of the contexts": self.passes,
        }
        parts = [f"{count} {_plural(name, count)}" for name, count in counts.items() if count]
        return "at most " * self.most + ", ".join(parts) + UNITS[self.per] if parts else "none"


def _plural(name: str, count: int) -> str:
    first, *others = name.split(" ", 1)
    ending = "es" if first.endswith("s") else "s"
    return " ".join([first + ending * (count > 1), *others])
