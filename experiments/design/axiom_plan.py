"""The plan of an experiment that measures the axioms of Bayes. No jax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from experiments.design.unused import SCORES
from theory.errors import Misuse


@dataclass(frozen=True)
class AxiomPlan:
    """`documents` are so many D' that every base network writes itself, a document each. A stage is half of
    the steps of the last dose, so that it must be among the doses."""

    documents: int = 32
    unused: ClassVar[tuple[str, ...]] = SCORES

    def __post_init__(self) -> None:
        if self.documents < 2:
            raise Misuse(f"A mean over D' needs at least 2 documents, got {self.documents}.")

    def check(self, doses: Sequence[int], fits: Mapping[str, bool]) -> None:
        """Refuse doses without half of the last, and an arm (by name) that does not fit."""
        if doses[-1] % 2 or doses[-1] // 2 not in doses:
            raise Misuse(
                "The axioms need the last dose and half of it among finetuning.doses, got "
                f"{', '.join(map(str, doses))}."
            )
        for arm, does in fits.items():
            if not does:
                raise Misuse(
                    f"The axioms need a second D' of the arm {arm}, and no teacher; make it Arm(task, "
                    "rival=...)."
                )
