"""Distance of finetuned networks from the convex hull of the process's hypotheses. Numpy only.

    outside      the least mean KL(finetuned ‖ Σ_k w_k m_k) in nats over weights w, the same for all contexts:
                 where these say nothing of the hypothesis, no theory that reweights hypotheses comes nearer
    proved       the share of networks that a bound (theory.divergence.convex_hull) proves to be outside
    base         the same distance for the base network, which is not exactly inside either
    by context   with other weights in every context: each answer by itself

Answers may lie in the hull context by context, and still no single mixture give all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.labels import judged_groups, nats, number, of_panel, panel_name, panels, three
from experiments.scoring.scorecard import RESOLUTION
from experiments.storage.contents import Contexts
from experiments.storage.records import ScoreLine
from experiments.storage.run import Run
from theory.divergence.convex_hull import nearest

HEADER = ["method", "contexts", "dose", "shift", "outside", "of shift", "proved", "base", "by context"]
ABOUT = (
    "How far the networks are outside the convex hull of the process's hypotheses: the least mean KL (nats) "
    "from any mixture of them, one for all contexts; its share of the shift; the share of networks that are "
    "proved to be outside; the same distance for the base networks; and with a mixture for every context."
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
        measured = [nats(self.shift), nats(self.outside), part, number(self.proved), nats(self.base)]
        return [self.name, self.group, str(self.dose), *measured, nats(self.by_context)]


def hull(run: Run, lines: Sequence[ScoreLine]) -> list[Outside]:
    """Every method and D' at three doses, on the first group that theories are judged on."""
    distances = []
    for method, data in panels(lines):
        panel = of_panel(lines, (method, data))
        group = judged_groups(panel)[0]
        doses = three([line for line in panel if line.group == group])
        parts = []
        for cell in run.cells("finetuned", data, method):
            theories, finetuned = run.theories(cell), run.finetuned(cell)
            if theories and finetuned:
                at_doses = finetuned.finetuned[:, [run.doses.index(dose) for dose in doses]]
                contexts = theories.contexts
                parts.append(_distances(at_doses[..., contexts.inside(group), :], contexts.of(group)))
        if parts:
            for dose, means in zip(doses, np.mean(parts, axis=0).T, strict=True):
                distances.append(Outside(panel_name(method, data), group, dose, *map(float, means)))
    return distances


def table(distances: Sequence[Outside]) -> list[list[str]]:
    """Header and rows."""
    return [HEADER, *(line.row for line in distances)]


def _distances(target: np.ndarray, contexts: Contexts) -> np.ndarray:
    """Shift, outside, proved, base, by context (5, d): means over the seeds of one base network."""
    components, base = contexts.components, contexts.base
    flat = target.reshape(-1, *target.shape[2:])
    near, free = (nearest(flat, components, shared=shared) for shared in (True, False))
    shift = np.maximum(np.sum(np.exp(target) * (target - base), axis=-1).mean(axis=-1), 0.0)
    measured = (near.nats, near.at_least > RESOLUTION, free.nats.mean(axis=-1))
    outside, proved, by_context = (values.reshape(target.shape[:2]).mean(axis=0) for values in measured)
    before = np.full_like(outside, nearest(base[None], components).nats[0])
    return np.stack([shift.mean(axis=0), outside, proved, before, by_context])
