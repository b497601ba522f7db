"""Is a finetuned network inside the hull of the process's members at all? Numpy only.

    outside      the least mean KL(finetuned ‖ Σ_k w_k m_k) in nats over weights w, one w for all contexts:
                 where these are empty, no theory that reweights the members comes nearer, whatever its β
    proved       the share of networks for which theory.divergence.convex_hull's bound puts that above
    rounding base         the same distance for the base network, which is not exactly inside either
    by context   with weights of their own in every context: each answer by itself

Answers may lie in the hull context by context, and still no single mixture give all of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.scoring.labels import Line, judged_groups, nats, number, panel_name, panels, three
from experiments.scoring.scorecard import RESOLUTION
from experiments.storage.run_folder import Results
from theory.divergence.convex_hull import nearest

HEADER = ["method", "contexts", "dose", "shift", "outside", "of shift", "proved", "base", "by context"]
ABOUT = (
    "How far the networks are outside the hull of the process's members: the least mean KL (nats) from any "
    "mixture of them, one for all contexts; its share of the shift; the share of networks that are proved to "
    "be outside; the same distance for the base networks; and with another mixture in every context."
)


@dataclass(frozen=True)
class Outside:
    """One method and D' at one dose: means over networks, in nats but for `proved`, a share."""

    name: str
    group: str
    dose: int
    shift: float
    outside: float
    proved: float
    base: float
    by_context: float

    @property
    def row(self) -> list[str]:
        """Words for HEADER."""
        part = number(self.outside / self.shift) if self.shift > RESOLUTION else "-"
        found = [nats(self.shift), nats(self.outside), part, number(self.proved), nats(self.base)]
        return [self.name, self.group, str(self.dose), *found, nats(self.by_context)]


def hull(results: Results, lines: list[Line]) -> list[Outside]:
    """Every method and D' at three doses, on the first group that theories are judged on."""
    done, found = results.cells(), []
    for method, data in panels(lines):
        finetuned = [cell for cell in done if cell.rsplit("-", 1)[0] == f"{method}-{data}"]
        theories = {cell: f"theories-{data}-{cell.rsplit('-', 1)[1]}" for cell in finetuned}
        pairs = [(cell, told) for cell, told in theories.items() if told in done]
        if not pairs:
            continue
        same = [line for line in lines if (line["method"], line["data"]) == (method, data)]
        group = judged_groups(same)[0]
        chosen = three([line for line in same if line["group"] == group])
        rows = [results.config["config"]["doses"].index(dose) for dose in chosen]
        parts = [
            _distances(results.load(cell)["finetuned"][:, rows], results.load(told), group)
            for cell, told in pairs
        ]
        for dose, means in zip(chosen, np.mean(parts, axis=0).T, strict=True):
            found.append(Outside(panel_name(method, data), group, dose, *map(float, means)))
    return found


def table(found: list[Outside]) -> list[list[str]]:
    """Header and rows."""
    return [HEADER, *(one.row for one in found)]


def _distances(finetuned: np.ndarray, told: dict[str, Any], group: str) -> np.ndarray:
    """Shift, outside, proved, base, by context (5, d): means over the seeds of one base network."""
    inside = told["group"] == group
    target, components, base = finetuned[..., inside, :], told["members"][:, inside], told["base"][inside]
    flat = target.reshape(-1, *target.shape[2:])
    near, free = (nearest(flat, components, shared=shared) for shared in (True, False))
    shift = np.maximum(np.sum(np.exp(target) * (target - base), axis=-1).mean(axis=-1), 0.0)
    each = (near.nats, near.at_least > RESOLUTION, free.nats.mean(axis=-1))
    outside, proved, by_context = (one.reshape(target.shape[:2]).mean(axis=0) for one in each)
    before = np.full_like(outside, nearest(base[None], components).nats[0])
    return np.stack([shift.mean(axis=0), outside, proved, before, by_context])
