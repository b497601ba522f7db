"""Content of a cell of axioms: answers of networks after sequences of finetunings. Numpy only.

A and B are the two D' of an arm, h steps a stage, 2h in all; every stage begins with a new optimizer.

    ordered, reordered      A for 2h steps, and A in another order
    resumed                 A for h steps, then for h steps the documents that `ordered` met there
    forward, backward       A then B, and B then A, h steps each
    pooled                  A and B mixed for 2h steps; `pooled_reordered` in another order
    drawn                   one document that the base network wrote itself, for 2h steps, n times;
                            `drawn_evidence` is log p(context) after it
    shown, taught           pairs of one document of A in the context, or finetuned for d `doses`
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from experiments.storage.contexts import Contexts, pick
from experiments.storage.records import Arrays


@dataclass(frozen=True)
class AxiomCell:
    """Answers (s, c, a) of the networks above; `drawn` (n, c, a) with its evidence (n, c), `shown` (s, q, a),
    `taught` (s, d, q, a) at the contexts `rows` (q,), in which nothing is shown; `pairs` are shown. Where
    documents are not pairs of question and answer, `shown` and what belongs to it is None."""

    contexts: Contexts
    ordered: np.ndarray
    reordered: np.ndarray
    resumed: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    pooled: np.ndarray
    pooled_reordered: np.ndarray
    drawn: np.ndarray
    drawn_evidence: np.ndarray
    shown: np.ndarray | None = None
    taught: np.ndarray | None = None
    rows: np.ndarray | None = None
    doses: np.ndarray | None = None
    pairs: np.ndarray | None = None

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        arrays = {entry.name: getattr(self, entry.name) for entry in fields(self)[1:]}
        present = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
        return self.contexts.to_arrays() | present

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        named = [entry for entry in fields(cls)[1:] if entry.default is not None or entry.name in arrays]
        base = ("base",)  # the same contexts and answers
        picked = pick(arrays, (*base, *(entry.name for entry in named)))
        return cls(Contexts.from_arrays(arrays), **{entry.name: picked[entry.name] for entry in named})
