"""The plan of an experiment that measures curves in the stream: of the column of a line. No jax."""

from dataclasses import dataclass

from experiments.design.inside_plan import Plan
from theory.errors import Misuse


@dataclass(frozen=True)
class CurvePlan(Plan):
    """Curves are means over positions of `documents` of pretraining, those not held out, of columns with at
    least `least` positions; `random` curves and rotations are what they are judged against."""

    unused = (*Plan.unused, "repeats")
    documents: int = 600
    least: int = 50
    random: int = 100

    def __post_init__(self) -> None:
        for name, fewest in (("documents", 20), ("least", 1), ("random", 10)):
            if getattr(self, name) < fewest:
                raise Misuse(f"{name} must be at least {fewest}, got {getattr(self, name)}.")
