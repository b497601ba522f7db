"""Sidecar of a table: `NAME.json` beside `NAME.csv` says what its numbers are, and the recipe. No jax.

{"unit": "nats", "precision": "bfloat16", "template": "9f2c...", "doses": [10, 100],
 "finetuning": {"lora": {"batch": 16, "documents": 6000}}}
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from experiments.storage.files import read_json
from experiments.storage.records import Json, check_name
from experiments.storage.typed import typed
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.contracts import Training

UNIT = "nats"
PRECISIONS = {  # of logits: the least shift (nats) that rounding leaves, and how far a sum may exceed 1
    "float64": (0.0, 1e-6),
    "float32": (0.0, 1e-3),
    "float16": (2e-5, 1e-2),
    "bfloat16": (1.3e-3, 0.1),
}
"""A logit between 16 and 32 is rounded to a grid of width h = 2^-6 (float16) or 2^-3 (bfloat16). Errors even
on ±h/2 have the variance h²/12, and two scorings of one model the mean KL h²/12, as `again` rows measure."""
MOST_OUTSIDE = 0.5  # of the probability, outside the listed answers
REMEDY = "correct it, and import again"
MOST_SEEDS = 10_000
LEAST_WEIGHT = 1e-30  # of a hypothesis, in the prior: single precision has less than that for nothing


@dataclass(frozen=True)
class Recipe:
    """One way of finetuning: each step has `batch` documents of the `documents` in D' (`fresh`: new ones in
    each step). `optimizer`, `rate` and `about` are for the reader."""

    batch: int
    documents: int
    fresh: bool = False
    optimizer: str = ""
    rate: float | None = None
    about: str = ""

    def training(self, doses: Sequence[int]) -> "Training":
        """The extent of finetuning at every dose."""
        from theory.contracts import Training

        return Training(tuple(doses), self.batch, self.documents, self.fresh, {})


@dataclass(frozen=True)
class Sidecar:
    """Facts that are not in a table's rows.

    `template` names the prompt template (its hash), `doses` are the steps after which checkpoints are scored,
    `finetuning` has a recipe for each method. `prior` are weights over hypotheses (even without), `factors`
    the values of each factor where hypotheses are called VALUE/VALUE. `most_outside` is the probability that
    may lie outside the listed answers. `seeds` are called 0, 1, ... (0: by the rows).
    `question` is the title of the report.
    """

    unit: str
    precision: str
    template: str
    doses: tuple[int, ...]
    finetuning: dict[str, Recipe]
    prior: dict[str, float] = field(default_factory=dict)
    factors: tuple[tuple[str, ...], ...] = ()
    most_outside: float = MOST_OUTSIDE
    seeds: int = 0
    question: str = ""

    def __post_init__(self) -> None:
        if self.unit != UNIT:
            raise Misuse(
                f"unit is {self.unit!r:.40}, and numbers must be in {UNIT}: multiply log10 by 2.302585 and "
                "log2 (bits) by 0.693147, and take the logarithm of probabilities."
            )
        if self.precision not in PRECISIONS:
            raise Misuse(f"precision is one of {', '.join(PRECISIONS)}, got {self.precision!r:.40}.")
        if not self.doses or min(self.doses) < 1 or list(self.doses) != sorted(set(self.doses)):
            raise Misuse(f"doses are steps of finetuning, ascending from 1 on, got {list(self.doses)}.")
        if not self.finetuning:
            raise Misuse('finetuning needs a recipe, like {"lora": {"batch": 16, "documents": 6000}}.')
        for name, recipe in self.finetuning.items():
            check_name("The method", name)
            if recipe.batch < 1 or recipe.documents < 1:
                given = f"{recipe.batch} and {recipe.documents}"
                raise Misuse(f"batch and documents of {name} are at least 1, got {given}.")
        if not 0 < self.most_outside < 1:
            raise Misuse(f"most_outside is a probability above 0 and below 1, got {self.most_outside}.")
        total = sum(self.prior.values())
        if any(not (weight > 0 and weight / total >= LEAST_WEIGHT) for weight in self.prior.values()):
            raise Misuse(
                f"Weights of the prior are above 0, each at least {LEAST_WEIGHT:g} of their sum, got "
                f"{', '.join(f'{name} {weight:g}' for name, weight in self.prior.items())}."
            )
        if not 0 <= self.seeds <= MOST_SEEDS:
            raise Misuse(f"seeds is a number from 0 (by the rows) to {MOST_SEEDS}, got {self.seeds}.")

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse of `to_json`; raises `Misuse` for what is none."""
        return typed(cls, values)

    @classmethod
    def read(cls, table: str | Path) -> Self:
        """That of a table, beside it."""
        path = Path(table).with_suffix(".json")
        if not path.is_file():
            raise Misuse(
                f"{path} is missing: a table needs a sidecar that says unit, precision, template, doses and "
                "the recipe of finetuning; see docs/real-models.md."
            )
        values = read_json(path, REMEDY)
        try:
            return cls.from_json(values)
        except Misuse as error:
            raise Misuse(f"{path}: {error}") from error

    def to_json(self) -> Json:
        """Plain values."""
        values = asdict(self)
        return values | {
            "doses": list(self.doses),
            "factors": [list(part) for part in self.factors],
        }

    @property
    def rounding(self) -> float:
        """The least shift (nats) that the precision alone leaves."""
        return PRECISIONS[self.precision][0]

    @property
    def excess(self) -> float:
        """The most by which probabilities of all answers may add to more than 1."""
        return PRECISIONS[self.precision][1]

    def hypotheses(self, names: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
        """The hypotheses in the order of the factors, and the shape of the joint; refuses others."""
        if not self.factors:
            return list(names), ()
        joint = ["/".join(values) for values in _product(self.factors)]
        odd = sorted({*names} ^ {*joint})
        if odd and names:
            raise Misuse(
                f"The factors make the hypotheses {', '.join(joint)}; {odd[0]!r} is no row's, or no pair."
            )
        return joint if names else [], tuple(map(len, self.factors)) if names else ()

    def log_prior(self, names: Sequence[str]) -> np.ndarray:
        """Log-weights (k,) of the hypotheses."""
        odd = sorted({*names} ^ {*self.prior})
        if self.prior and odd:
            raise Misuse(f"The prior weighs {', '.join(self.prior)}, and hypotheses are {', '.join(names)}.")
        weights = np.array([self.prior.get(name, 1.0) for name in names], float)
        return np.log(weights / weights.sum()) if len(names) else weights


def _product(factors: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    pairs: list[tuple[str, ...]] = [()]
    for values in factors:
        pairs = [(*pair, value) for pair in pairs for value in values]
    return pairs
