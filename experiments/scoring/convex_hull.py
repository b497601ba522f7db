"""Distance of finetuned networks from the convex hull of the process's hypotheses. Numpy only.

    outside      the least mean KL(finetuned ‖ Σ_k w_k m_k) in nats over weights w, the same for all contexts:
                 where these say nothing of the hypothesis, no theory that reweights hypotheses comes nearer
    base         the same distance for the base network, which is not exactly inside either
    resolution   (√base + √noise)², noise = ½ KL(network ‖ replica), the distance of a network from the centre
                 of all orders of its D' (0 without a replica): roots of small KLs add like lengths, so a
                 network whose centre is as near to the hull as its base network was is no farther than this
    proved       the share of networks whose distance is proved (theory.divergence.convex_hull) to be larger
                 than the resolution; a base network, which has no noise, never is
    by context   with other weights in every context: each answer by itself

Answers may lie in the hull context by context, and still no single mixture give all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.fits import mean_kl
from experiments.scoring.labels import judged_groups, nats, number, of_panel, panel_name, panels, three
from experiments.scoring.networks import RESOLUTION
from experiments.scoring.paired import CENTRE
from experiments.storage.contents import Contexts
from experiments.storage.records import ScoreLine
from experiments.storage.run import Run
from theory.divergence.convex_hull import nearest

HEADER = [
    *("method", "contexts", "dose", "shift", "outside", "of shift"),
    *("base", "resolution", "proved", "by context"),
]
ABOUT = (
    "How far the networks are outside the convex hull of the process's hypotheses: the least mean KL (nats) "
    "from any mixture of them, one for all contexts; its share of the shift; the same distance for the base "
    "networks; the resolution, which adds the noise of another order of D′ to that; the share of networks "
    "that are proved to be farther outside than the resolution; and the distance with a mixture for every "
    "context."
)


@dataclass(frozen=True)
class Outside:
    """One method and D' at one dose: means over networks, in nats but for `proved`, a share."""

    name: str
    group: str
    dose: int
    shift: float
    outside: float
    base: float
    resolution: float
    proved: float
    by_context: float

    @property
    def row(self) -> list[str]:
        """Words for HEADER."""
        part = number(self.outside / self.shift) if self.shift > RESOLUTION else "-"
        measured = [nats(self.shift), nats(self.outside), part, nats(self.base), nats(self.resolution)]
        return [self.name, self.group, str(self.dose), *measured, number(self.proved), nats(self.by_context)]


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
            if theories and finetuned and len(theories.contexts.components):
                at, contexts = [run.doses.index(dose) for dose in doses], theories.contexts
                inside = contexts.inside(group)
                target, replica = (
                    answers[:, at][..., inside, :] for answers in (finetuned.finetuned, finetuned.replica)
                )
                measured = 0.0 if theories.resolution is None else theories.resolution[inside].mean()
                parts.append(_distances(target, replica, contexts.of(group), max(measured, RESOLUTION)))
        if parts:
            for dose, means in zip(doses, np.mean(parts, axis=0).T, strict=True):
                distances.append(Outside(panel_name(method, data), group, dose, *map(float, means)))
    return distances


def table(distances: Sequence[Outside]) -> list[list[str]]:
    """Header and rows."""
    return [HEADER, *(line.row for line in distances)]


def resolution(base: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The largest distance (nats) of a network whose centre is as near as its base network."""
    return np.square(np.sqrt(base) + np.sqrt(noise))


def _distances(target: np.ndarray, replica: np.ndarray, contexts: Contexts, least_shift: float) -> np.ndarray:
    """Shift, outside, base, resolution, proved, by context (6, d): means over seeds of one base network."""
    components, base = contexts.components, contexts.base
    flat = target.reshape(-1, *target.shape[2:])
    near, free = (nearest(flat, components, shared=shared) for shared in (True, False))
    before = nearest(base[None], components).nats[0]
    shift, noise = mean_kl(target, base), np.nan_to_num(CENTRE * mean_kl(target, replica))
    limit = np.maximum(resolution(before, noise), before + least_shift)
    outside, least, by_context = (
        values.reshape(target.shape[:2]) for values in (near.nats, near.at_least, free.nats.mean(axis=-1))
    )
    columns = shift, outside, np.full_like(outside, before), limit, least > limit, by_context
    return np.stack([column.mean(axis=0) for column in columns])
