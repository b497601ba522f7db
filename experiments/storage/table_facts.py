"""Facts about an imported table, `table.json` of a run's folder: what it had, and what it lacked. No jax."""

from dataclasses import asdict, dataclass
from typing import Self

from experiments.storage.records import Json
from experiments.storage.typed import typed

TABLE = "table.json"


@dataclass(frozen=True)
class TableFacts:
    """Numbers of `rows` by kind, probabilities `outside` the listed answers by kind (mean and largest over
    contexts), the `resolution` (nats) by D' and group, and sentences on what is missing."""

    rows: dict[str, int]
    outside: dict[str, tuple[float, ...]]
    resolution: dict[str, float]
    notes: tuple[str, ...]

    def to_json(self) -> Json:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for values that are none."""
        return typed(cls, values)
