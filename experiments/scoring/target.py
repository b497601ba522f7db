"""Target: the hypothesis that D' is of, and whether finetuned networks come nearer to it. Numpy only.

A study that asks whether a network becomes something defines `target(options)`, which names a hypothesis of
its process. For every method and D' at its last dose, on the first group of contexts that theories are judged
on,

    before, after    mean KL(target ‖ base network) and KL(target ‖ finetuned network), nats

with the interval of the change by base networks and D' (experiments.scoring.intervals).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.fits import mean_kl
from experiments.scoring.intervals import Estimate, clusters, mean
from experiments.scoring.labels import difference, judged_groups, of_panel, panel_name, panels
from experiments.storage.records import ScoreLine
from experiments.storage.run import Run


@dataclass(frozen=True)
class Target:
    """A hypothesis by its index in the process, and its name in a sentence, like "that persona"."""

    hypothesis: int
    name: str


@dataclass(frozen=True)
class Approach:
    """One method and D' at its last dose; `before` and `after` in nats, means over networks."""

    name: str
    group: str
    dose: int
    before: float
    after: float
    change: Estimate


def approaches(run: Run, lines: Sequence[ScoreLine], target: Target) -> list[Approach]:
    """One for every method and D' with finished networks."""
    result = []
    for method, data in panels(lines):
        panel = of_panel(lines, (method, data))
        group, dose = judged_groups(panel)[0], max(line.dose for line in panel)
        before, after, places = [], [], []
        for cell in run.cells("finetuned", data, method):
            theories, finetuned = run.theories(cell), run.finetuned(cell)
            if theories is None or finetuned is None:
                continue
            contexts = theories.contexts
            wanted = contexts.of(group).components[target.hypothesis].astype(float)
            networks = finetuned.finetuned[:, run.doses.index(dose)][:, contexts.inside(group)]
            after += mean_kl(wanted, networks).tolist()
            before += [float(mean_kl(wanted, contexts.of(group).base))] * len(networks)
            places += [(run.draw(cell.base), cell.base, seed) for seed in range(len(networks))]
        if after:
            change = mean(np.subtract(after, before), clusters(*zip(*places, strict=True)))
            numbers = float(np.mean(before)), float(np.mean(after)), change
            result.append(
                Approach(panel_name(method, data).replace(", D′ on ", " on "), group, dose, *numbers)
            )
    return result


def sentence(measured: Sequence[Approach], target: Target) -> str:
    """One sentence on the ways of finetuning after which networks are closer, or farther; empty of none."""
    if not measured:
        return ""
    verdicts: dict[str, list[str]] = {"falls": [], "rises": [], "is not shown to change": []}
    for approach in measured:
        change = approach.change
        verdict = "falls" if change.below else "rises" if change.above else "is not shown to change"
        gap = difference(change.value, change.interval) + ", no interval" * (change.interval is None)
        numbers = f"{approach.before:.3f} → {approach.after:.3f} nats, by {gap}"
        verdicts[verdict].append(f"{approach.name} ({numbers})")
    groups = " and ".join(dict.fromkeys(approach.group.replace("_", "-") for approach in measured))
    parts = [f"{verdict} after {' and '.join(cases)}" for verdict, cases in verdicts.items() if cases]
    distance = f"KL({target.name} ‖ network) on {groups} contexts"
    return f"Does it become {target.name}? {distance} {'; it '.join(parts)}."
