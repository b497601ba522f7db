"""Content of a cell that is named arrays alone, as of measures inside of networks. Numpy only."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np

from experiments.storage.contexts import check_axes, present
from experiments.storage.records import Arrays
from theory.errors import Misuse


@dataclass(frozen=True)
class Measures:
    """A subclass has an array for each name of its `axes`, a letter an axis; equal letters, equal lengths.

    Arrays of `optional` axes may be missing, None: cells that were made before they were measured lack them.
    """

    axes: ClassVar[Mapping[str, str]] = {}
    optional: ClassVar[Mapping[str, str]] = {}

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        return present(**{entry.name: getattr(self, entry.name) for entry in fields(self)})

    @property
    def missing(self) -> list[str]:
        """Names of optional arrays that this cell lacks."""
        return [name for name in self.optional if getattr(self, name) is None]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        missing = [name for name in cls.axes if name not in arrays]
        if missing:
            raise Misuse(f"The arrays {', '.join(missing)} are missing.")
        axes = {**cls.axes, **cls.optional}
        picked = {name: arrays[name] for name in axes if name in arrays}
        check_axes(picked, axes)
        return cls(**picked)
