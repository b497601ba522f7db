"""Line of what is measured inside of networks: one measure over networks, with its interval. Numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from experiments.scoring.intervals import Estimate, clusters, mean
from experiments.storage.records import Json


@dataclass(frozen=True)
class MeasureLine:
    """One measure of a `test` over `networks`, on a `group` of contexts where that matters.

    Base networks have method "" and dose 0; what has no depth has depth 0. `bayes` is what exact inference
    has, if anything; a measure is not `judged` where noise alone puts it on one side of that.
    """

    test: str
    measure: str
    value: Estimate
    networks: int
    group: str = ""
    method: str = ""
    dose: int = 0
    depth: int = 0
    bayes: float | None = None
    judged: bool = True

    @property
    def is_judged(self) -> bool:
        """Whether an interval can refute what Bayes says."""
        return self.judged and self.bayes is not None

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is off what Bayes says."""
        if not self.is_judged or self.value.interval is None:
            return False
        low, high = self.value.interval
        return not low <= (self.bayes or 0.0) <= high

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.value.interval or (None, None)
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del values["judged"]
        return values | {"value": self.value.value, "low": low, "high": high}


def mean_of_known(
    values: Sequence[float] | np.ndarray, keys: Sequence[tuple[int, int]]
) -> tuple[Estimate, int]:
    """The mean over the networks (base, seed) of which a measure is finite, and their number."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    if not known.any():
        return Estimate(float("nan")), 0
    bases, seeds = zip(*(key for key, has in zip(keys, known, strict=True) if has), strict=True)
    single = len({seed for _, seed in keys}) == 1
    ways = [bases] if single else clusters([0] * len(bases), bases, seeds)
    return mean(values[known], ways), int(known.sum())
